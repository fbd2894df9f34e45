"""What the routes work with."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from services.gateway.domain.copies import Copies
from shared.contracts.configuration import ConfigurationReport
from shared.contracts.quality import DriftReport, Scorecard
from shared.contracts.records import (
    CacheReport,
    CandleSummary,
    Cleared,
    JobRecord,
    ModelRecord,
    Prediction,
    Pregenerated,
    RunRecord,
    Started,
    Stopped,
    TrainingStatus,
    Universe,
)
from shared.contracts.reports import SystemStatus
from shared.contracts.requests import (
    CheckDriftRequest,
    ChooseSymbolsRequest,
    ClearCacheRequest,
    ConfigureRequest,
    JobsRequest,
    PregenerateRequest,
    ProfitRequest,
    RejectionsRequest,
    RollbackRequest,
    RunsRequest,
    SignalsRequest,
    StartRequest,
    StopRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode
from shared.contracts.trading import ExposureReport, ProfitReport, Rejection, Signal
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

    async def scorecard(self, symbol: Symbol) -> Scorecard:
        """How its predictions that were served did."""

    async def roll_back(
        self, request: RollbackRequest, *, idempotency_key: str | None
    ) -> ModelRecord:
        """Raises LeaseTaken, NoEarlierModel, UnknownVersion or ArtifactRefused."""

    async def cache(self) -> CacheReport: ...

    async def pregenerate(self, request: PregenerateRequest) -> Pregenerated: ...

    async def clear_cache(self, request: ClearCacheRequest) -> Cleared: ...

    async def signals(self, request: SignalsRequest) -> list[Signal]:
        """Raises NotFound where one was asked for by its id."""

    async def rejected(self, request: RejectionsRequest) -> list[Rejection]: ...

    async def profit(self, request: ProfitRequest) -> ProfitReport: ...

    async def exposure(self) -> ExposureReport: ...

    async def drift(self) -> DriftReport:
        """Raises NotFound: nobody has looked yet."""

    async def check_drift(
        self, request: CheckDriftRequest, *, idempotency_key: str | None
    ) -> DriftReport: ...

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

    async def start_automation(
        self, request: StartRequest, *, idempotency_key: str | None
    ) -> Started: ...

    async def stop_automation(
        self, request: StopRequest, *, idempotency_key: str | None
    ) -> Stopped: ...

    async def configuration(self) -> ConfigurationReport: ...

    async def configure(self, request: ConfigureRequest) -> ConfigurationReport:
        """Raises InvalidSetting, or ChangedMeanwhile when its revision is not the one in force."""

    async def choose_symbols(self, request: ChooseSymbolsRequest) -> Universe:
        """Raises ChangedMeanwhile when its revision is not the one in force."""


class Readiness(Protocol):
    def check(self, *needed: str) -> None:
        """Raises Unavailable: one of these, or of all if none is named, is not known yet."""


class LastStatus(Protocol):
    @property
    def status(self) -> SystemStatus | None:
        """None until the first look."""


class Given(NamedTuple):
    """How a prediction was answered: `source` is `copy` for our own, and else the predictor's tier:
    `memory`, `disk`, or `miss` where it was computed.
    """

    source: str
    stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    copies: Copies
    colleagues: Colleagues
    system: LastStatus
    readiness: Readiness
    clock: Clock
    given: Counter[Given] = field(default_factory=Counter)
