"""How far a market is from what its live model has learned, measured in a child process."""

from datetime import datetime
from typing import Final, Protocol

from services.trainer.domain.jobs import DriftJob, Inputs
from shared.contracts.errors import NotReady
from shared.contracts.quality import DriftMeasurement
from shared.contracts.records import ModelRecord
from shared.contracts.requests import MeasureDriftRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Timeframe
from shared.model.history import WARMUP
from shared.runtime.clock import Clock, to_ms

_DEADLINE_S: Final = 60.0

#: How many rows an update's full model learned from is known from its file alone: more than a year
#: of 15 minutes.
_ROWS_OF_ANY: Final = 40_000


class Registry(Protocol):
    """Every verb may raise Unavailable."""

    async def live_model(self, symbol: Symbol) -> ModelRecord | None: ...

    async def fetch(self, sha256: str) -> bytes:
        """What was stored under this name; empty where it is lost or damaged."""


class Candles(Protocol):
    async def tail(self, symbol: Symbol, timeframe: Timeframe, rows: int) -> bytes:
        """The newest packed rows, oldest first; may raise Unavailable."""


class Pool(Protocol):
    async def measure(
        self, job: DriftJob, inputs: Inputs, *, deadline_s: float
    ) -> DriftMeasurement:
        """Look for drift in a child process. Raises AppError: what the child said."""


class DriftGauge:
    def __init__(self, *, registry: Registry, candles: Candles, pool: Pool, clock: Clock) -> None:
        self._registry = registry
        self._candles = candles
        self._pool = pool
        self._clock = clock

    async def measure(self, asked: MeasureDriftRequest) -> DriftMeasurement:
        """Hold the newest candles against those that the live model was trained on: of an update,
        those of its full model.

        Raises:
            NotReady: there is no live model, or the file of an update's full model is lost.
            NotEnoughHistory: too few candles since the training, or before.
            CandlesRefused, ArtifactRefused: they cannot be computed with.
            TrainingFailed: the child ended without an answer.
            Unavailable: NATS does not answer.
        """
        live = await self._registry.live_model(asked.symbol)
        if live is None:
            raise NotReady(f"there is no model of {asked.symbol} yet: train it first")
        base = await self._base(live)
        rows = _rows(live, self._clock())
        job = DriftJob(
            symbol=live.symbol,
            model_version=live.version,
            rows=live.rows,
            candle_at_ms=to_ms(live.candle_at),
            longest_horizon=max(live.horizons),
        )
        inputs = Inputs(
            candles=await self._candles.tail(live.symbol, live.timeframe, rows), base=base
        )
        return await self._pool.measure(job, inputs, deadline_s=_DEADLINE_S)

    async def _base(self, live: ModelRecord) -> bytes:
        """The file of the full model that an update goes back to."""
        if live.mode is not Mode.INCREMENTAL or live.native_sha256 is None:
            return b""
        base = await self._registry.fetch(live.native_sha256)
        if not base:
            raise NotReady(f"the full model behind {live.version} is lost: train it again")
        return base


def _rows(live: ModelRecord, now: datetime) -> int:
    """At least the candles since the training, those of the training, and what the features of the
    first of them look back on.
    """
    since = now - min(live.candle_at, live.trained_at)
    passed = max(since.total_seconds(), 0.0) / live.timeframe.seconds
    learned = _ROWS_OF_ANY if live.mode is Mode.INCREMENTAL else live.rows
    return round(passed) + learned + max(live.horizons) + WARMUP
