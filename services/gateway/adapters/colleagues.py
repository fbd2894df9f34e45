"""The other services, asked over NATS."""

import hashlib
from dataclasses import replace
from secrets import token_hex
from typing import Final, TypeVar

from services.gateway.domain.copies import TAIL
from services.gateway.domain.problems import Refused
from shared.bus import rpc
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.locks import TrainingLock
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.configuration import ConfigurationReport
from shared.contracts.errors import Unavailable
from shared.contracts.records import (
    CandleSummary,
    JobRecord,
    ModelRecord,
    Prediction,
    RunRecord,
    Started,
    Stopped,
    TrainingStatus,
    Universe,
)
from shared.contracts.requests import (
    CandlesRequest,
    ChooseSymbolsRequest,
    ConfigurationRequest,
    ConfigureRequest,
    JobsRequest,
    PredictRequest,
    RunsRequest,
    StartRequest,
    StopRequest,
    TrainingStatusRequest,
    TrainRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Timeframe
from shared.market.candles import Candle, unpack
from shared.market.store import CandleStore

T = TypeVar("T")

_ACKNOWLEDGE_WITHIN_S: Final = 5.0


class BusColleagues:
    """Every method raises Unavailable when nobody answers in time, and whatever AppError the
    service answers with.
    """

    def __init__(self, connection: Connection, publisher: Publisher) -> None:
        self._connection = connection
        self._publisher = publisher
        self._lock = TrainingLock(connection)
        self._models = Bucket(connection, subjects.MODELS)

    @property
    def reachable(self) -> bool:
        return self._connection.connected

    async def prediction(self, symbol: Symbol) -> Prediction:
        self._check()
        return await rpc.ask(
            self._connection, "evertrain.predictor.get", PredictRequest(symbol=symbol), Prediction
        )

    async def training_status(self) -> TrainingStatus:
        return await self._ask("status", TrainingStatusRequest(), TrainingStatus)

    async def jobs(self, request: JobsRequest) -> list[JobRecord]:
        return await self._ask("jobs", request, list[JobRecord])

    async def runs(self, request: RunsRequest) -> list[RunRecord]:
        return await self._ask("runs", request, list[RunRecord])

    async def candles(self) -> list[CandleSummary]:
        return await self._ask("candles", CandlesRequest(), list[CandleSummary])

    async def promotions(self, symbol: Symbol) -> list[ModelRecord]:
        self._check()
        kept = await self._models.history(symbol.token)
        return [codec.decode(entry.value, ModelRecord) for entry in kept]

    async def request_training(
        self,
        mode: Mode,
        *,
        symbols: tuple[Symbol, ...] | None,
        batch_size: int | None,
        force: bool,
        idempotency_key: str | None,
    ) -> str:
        """Queue a run; its id. The same `idempotency_key` queues the same run, once.

        Raises:
            Refused: another run holds the lock, and `force` is not set.
        """
        self._check()
        run_id = f"api-{_run_name(idempotency_key)}"
        holder = await self._lock.holder()
        if holder is not None and not force and holder.run_id != run_id:
            raise Refused(holder)
        request = TrainRequest(
            symbols=symbols, batch_size=batch_size, source=Source.API, request_id=run_id
        )
        await self._publisher.publish(
            subjects.train(mode),
            codec.encode(request),
            message_id=run_id,
            give_up_after=_ACKNOWLEDGE_WITHIN_S,
        )
        return run_id

    async def start_automation(
        self, request: StartRequest, *, idempotency_key: str | None
    ) -> Started:
        """The same `idempotency_key` starts once."""
        request_id = f"start-{_run_name(idempotency_key)}"
        return await self._ask("start", replace(request, request_id=request_id), Started)

    async def stop_automation(
        self, request: StopRequest, *, idempotency_key: str | None
    ) -> Stopped:
        """The same `idempotency_key` stops once, whatever was started since."""
        if idempotency_key is not None:
            request = replace(request, request_id=f"stop-{_run_name(idempotency_key)}")
        return await self._ask("stop", request, Stopped)

    async def configuration(self) -> ConfigurationReport:
        return await self._ask("config", ConfigurationRequest(), ConfigurationReport)

    async def configure(self, request: ConfigureRequest) -> ConfigurationReport:
        return await self._ask("configure", request, ConfigurationReport)

    async def choose_symbols(self, request: ChooseSymbolsRequest) -> Universe:
        return await self._ask("choose", request, Universe)

    async def _ask(self, endpoint: str, question: object, answer: type[T]) -> T:
        """Ask the scheduler."""
        self._check()
        return await rpc.ask(self._connection, f"evertrain.scheduler.{endpoint}", question, answer)

    def _check(self) -> None:
        """While NATS is away nobody answers, and that needs no waiting to find out."""
        if not self.reachable:
            raise Unavailable("NATS is out of reach; try again in a moment")


class StoredCandles:
    """The candle store, as charts want it."""

    def __init__(self, store: CandleStore) -> None:
        self._store = store

    async def tail(self, symbol: Symbol, timeframe: Timeframe) -> list[Candle]:
        return unpack(await self._store.tail(symbol, timeframe, TAIL))


def _run_name(idempotency_key: str | None) -> str:
    if idempotency_key is None:
        return token_hex(8)
    return hashlib.sha256(idempotency_key.encode()).hexdigest()[:16]
