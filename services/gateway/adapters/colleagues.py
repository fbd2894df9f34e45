"""The other services, asked over NATS."""

import hashlib
from secrets import token_hex
from typing import Final

from services.gateway.domain.copies import TAIL
from services.gateway.domain.problems import Refused
from shared.bus import rpc
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.errors import Unavailable
from shared.contracts.records import (
    CandleSummary,
    JobRecord,
    LockHolder,
    ModelRecord,
    Prediction,
    RunRecord,
    TrainingStatus,
)
from shared.contracts.requests import (
    CandlesRequest,
    JobsRequest,
    PredictRequest,
    RunsRequest,
    TrainingStatusRequest,
    TrainRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Timeframe
from shared.market.candles import Candle, unpack
from shared.market.store import CandleStore

_ACKNOWLEDGE_WITHIN_S: Final = 5.0


class BusColleagues:
    """Every method raises Unavailable when nobody answers in time, and whatever AppError the
    service answers with.
    """

    def __init__(self, connection: Connection, publisher: Publisher) -> None:
        self._connection = connection
        self._publisher = publisher
        self._locks = Bucket(connection, subjects.LOCKS)
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
        self._check()
        return await rpc.ask(
            self._connection,
            "evertrain.scheduler.status",
            TrainingStatusRequest(),
            TrainingStatus,
        )

    async def jobs(self, request: JobsRequest) -> list[JobRecord]:
        self._check()
        return await rpc.ask(self._connection, "evertrain.scheduler.jobs", request, list[JobRecord])

    async def runs(self, request: RunsRequest) -> list[RunRecord]:
        self._check()
        return await rpc.ask(self._connection, "evertrain.scheduler.runs", request, list[RunRecord])

    async def candles(self) -> list[CandleSummary]:
        self._check()
        return await rpc.ask(
            self._connection, "evertrain.scheduler.candles", CandlesRequest(), list[CandleSummary]
        )

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
        holder = await self._holder()
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

    async def _holder(self) -> LockHolder | None:
        entry = await self._locks.get(subjects.TRAINING_LOCK)
        return codec.decode(entry.value, LockHolder) if entry else None

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
