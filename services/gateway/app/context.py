"""What the routes work with."""

from dataclasses import dataclass
from typing import Protocol

from services.gateway.domain.copies import Copies
from shared.contracts.records import (
    CandleSummary,
    JobRecord,
    ModelRecord,
    Prediction,
    RunRecord,
    TrainingStatus,
)
from shared.contracts.reports import SystemStatus
from shared.contracts.requests import JobsRequest, RunsRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode
from shared.runtime.clock import Clock


class Colleagues(Protocol):
    """The other services. Asking raises Unavailable when nobody answers in time."""

    @property
    def reachable(self) -> bool: ...

    async def prediction(self, symbol: Symbol) -> Prediction: ...

    async def training_status(self) -> TrainingStatus: ...

    async def jobs(self, request: JobsRequest) -> list[JobRecord]: ...

    async def runs(self, request: RunsRequest) -> list[RunRecord]: ...

    async def candles(self) -> list[CandleSummary]: ...

    async def promotions(self, symbol: Symbol) -> list[ModelRecord]:
        """Those of this symbol that are kept, oldest first."""

    async def request_training(
        self,
        mode: Mode,
        *,
        symbols: tuple[Symbol, ...] | None,
        batch_size: int | None,
        force: bool,
        idempotency_key: str | None,
    ) -> str:
        """The id of the queued run. Raises Refused when another run holds the lock."""


class Readiness(Protocol):
    def missing(self) -> list[str]:
        """What the gateway still waits for; empty when it can answer everything."""


class LastStatus(Protocol):
    @property
    def status(self) -> SystemStatus | None:
        """None until the first look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    copies: Copies
    colleagues: Colleagues
    system: LastStatus
    readiness: Readiness
    clock: Clock
