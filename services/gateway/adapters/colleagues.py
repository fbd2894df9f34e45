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
from shared.contracts.requests import (
    CacheRequest,
    CandlesRequest,
    CheckDriftRequest,
    ChooseSymbolsRequest,
    ClearCacheRequest,
    ConfigurationRequest,
    ConfigureRequest,
    DriftReportRequest,
    ExposureRequest,
    JobsRequest,
    PredictRequest,
    PregenerateRequest,
    ProfitRequest,
    RejectionsRequest,
    RollbackRequest,
    RunsRequest,
    SignalsRequest,
    StartRequest,
    StopRequest,
    TrainingStatusRequest,
    TrainRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Timeframe
from shared.contracts.trading import ExposureReport, ProfitReport, Rejection, Signal
from shared.market.candles import Candle, unpack
from shared.market.store import CandleStore

T = TypeVar("T")

_ACKNOWLEDGE_WITHIN_S: Final = 5.0
_ANSWER_WITHIN_S: Final = 5.0
#: Work over one symbol, or over all of them beside a training.
_WORK_WITHIN_S: Final = 30.0
_LONG_WORK_WITHIN_S: Final = 300.0


class BusColleagues:
    """Every method raises Unavailable when nobody answers in time, and whatever AppError the
    service answers with.
    """

    def __init__(self, connection: Connection, publisher: Publisher) -> None:
        self._connection = connection
        self._publisher = publisher
        self._lock = TrainingLock(connection)
        self._models = Bucket(connection, subjects.MODELS)
        self._quality = Bucket(connection, subjects.QUALITY)

    @property
    def reachable(self) -> bool:
        return self._connection.connected

    async def prediction(self, symbol: Symbol) -> Prediction:
        return await self._ask("predictor.get", PredictRequest(symbol=symbol), Prediction)

    async def cache(self) -> CacheReport:
        return await self._ask("predictor.cache", CacheRequest(), CacheReport)

    async def pregenerate(self, request: PregenerateRequest) -> Pregenerated:
        return await self._ask(
            "predictor.pregenerate", request, Pregenerated, within_s=_LONG_WORK_WITHIN_S
        )

    async def clear_cache(self, request: ClearCacheRequest) -> Cleared:
        return await self._ask("predictor.clear", request, Cleared, within_s=_WORK_WITHIN_S)

    async def signals(self, request: SignalsRequest) -> list[Signal]:
        return await self._ask("predictor.signals", request, list[Signal])

    async def rejected(self, request: RejectionsRequest) -> list[Rejection]:
        return await self._ask("predictor.rejected", request, list[Rejection])

    async def profit(self, request: ProfitRequest) -> ProfitReport:
        return await self._ask("predictor.pnl", request, ProfitReport)

    async def exposure(self) -> ExposureReport:
        return await self._ask("predictor.exposure", ExposureRequest(), ExposureReport)

    async def drift(self) -> DriftReport:
        return await self._ask("scheduler.drift", DriftReportRequest(), DriftReport)

    async def check_drift(
        self, request: CheckDriftRequest, *, idempotency_key: str | None
    ) -> DriftReport:
        """The same `idempotency_key` is the same check."""
        if idempotency_key is not None:
            request = replace(request, request_id=f"drift-{_run_name(idempotency_key)}")
        return await self._ask(
            "scheduler.check_drift", request, DriftReport, within_s=_LONG_WORK_WITHIN_S
        )

    async def roll_back(
        self, request: RollbackRequest, *, idempotency_key: str | None
    ) -> ModelRecord:
        """The same `idempotency_key` rolls back once."""
        request_id = f"rollback-{_run_name(idempotency_key)}"
        return await self._ask(
            "trainer.rollback",
            replace(request, request_id=request_id),
            ModelRecord,
            within_s=_WORK_WITHIN_S,
        )

    async def training_status(self) -> TrainingStatus:
        return await self._ask("scheduler.status", TrainingStatusRequest(), TrainingStatus)

    async def jobs(self, request: JobsRequest) -> list[JobRecord]:
        return await self._ask("scheduler.jobs", request, list[JobRecord])

    async def runs(self, request: RunsRequest) -> list[RunRecord]:
        return await self._ask("scheduler.runs", request, list[RunRecord])

    async def candles(self) -> list[CandleSummary]:
        return await self._ask("scheduler.candles", CandlesRequest(), list[CandleSummary])

    async def promotions(self, symbol: Symbol) -> list[ModelRecord]:
        self._check()
        kept = await self._models.history(symbol.token)
        return [codec.decode(entry.value, ModelRecord) for entry in kept]

    async def scorecard(self, symbol: Symbol) -> Scorecard:
        self._check()
        entry = await self._quality.get(subjects.served(symbol))
        return codec.decode(entry.value, Scorecard) if entry else Scorecard(symbol=symbol)

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
        return await self._ask("scheduler.start", replace(request, request_id=request_id), Started)

    async def stop_automation(
        self, request: StopRequest, *, idempotency_key: str | None
    ) -> Stopped:
        """The same `idempotency_key` stops once, whatever was started since."""
        if idempotency_key is not None:
            request = replace(request, request_id=f"stop-{_run_name(idempotency_key)}")
        return await self._ask("scheduler.stop", request, Stopped)

    async def configuration(self) -> ConfigurationReport:
        return await self._ask("scheduler.config", ConfigurationRequest(), ConfigurationReport)

    async def configure(self, request: ConfigureRequest) -> ConfigurationReport:
        return await self._ask("scheduler.configure", request, ConfigurationReport)

    async def choose_symbols(self, request: ChooseSymbolsRequest) -> Universe:
        return await self._ask("scheduler.choose", request, Universe)

    async def _ask(
        self,
        endpoint: str,
        question: object,
        answer: type[T],
        *,
        within_s: float = _ANSWER_WITHIN_S,
    ) -> T:
        self._check()
        subject = f"evertrain.{endpoint}"
        return await rpc.ask(self._connection, subject, question, answer, timeout=within_s)

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
