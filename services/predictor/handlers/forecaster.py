"""From a symbol's model and its newest candles to its prediction."""

import logging
from datetime import datetime, timedelta
from typing import Protocol

from services.predictor.domain.desk import Desk
from services.predictor.domain.freshness import Moment
from services.predictor.domain.reading import Reading
from shared.contracts.errors import AppError
from shared.contracts.records import ModelRecord, Prediction, Problem
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import ROW
from shared.model.history import WARMUP
from shared.runtime.clock import from_ms

log = logging.getLogger(__name__)


class LoadedModel(Protocol):
    async def read(self, candles: bytes) -> Reading:
        """What packed rows, oldest first, say in the end.

        Raises:
            AppError: too few candles, or none that can be computed with.
        """


class Models(Protocol):
    async def load(self, record: ModelRecord) -> LoadedModel:
        """The model of this record and no other.

        Raises:
            AppError: its artifact is out of reach, damaged, or not the one that was promoted.
        """

    @property
    def loaded(self) -> int:
        """How many are in memory."""


class Candles(Protocol):
    async def tail(self, symbol: Symbol, timeframe: Timeframe, rows: int) -> bytes:
        """The newest packed rows, oldest first, fewer if there are not so many.

        Raises:
            AppError: they are out of reach, or damaged.
        """


class Forecaster:
    """Predictions count as fresh for `ttl`, or for as long as the desk says."""

    def __init__(self, models: Models, candles: Candles, *, ttl: timedelta) -> None:
        self._models = models
        self._candles = candles
        self._ttl = ttl

    @property
    def models_loaded(self) -> int:
        return self._models.loaded

    async def newest(self, record: ModelRecord) -> datetime | None:
        """The newest candle that a prediction by this model would be made from.

        Raises:
            AppError: the candles are out of reach.
        """
        rows = await self._candles.tail(record.symbol, record.timeframe, 1)
        return _newest(rows) if rows else None

    async def predict(self, desk: Desk, live: ModelRecord, now: Moment) -> Prediction:
        """What the newest candles say to the live model; to the last one that worked while the
        live one cannot be used, which is noted on the desk.

        Raises:
            AppError: neither model can be used, or the candles cannot.
        """
        record, model = await self._usable(desk, live, now)
        rows = await self._candles.tail(desk.symbol, record.timeframe, WARMUP + 1)
        reading = await model.read(rows)
        return Prediction(
            symbol=desk.symbol,
            timeframe=record.timeframe,
            predictions=reading.forecasts,
            model_version=record.version,
            candle_at=_newest(rows),
            generated_at=now.at,
            expires_at=now.at + (desk.lasting or self._ttl),
            close=reading.close,
            atr_pct=reading.atr_pct,
        )

    async def _usable(
        self, desk: Desk, live: ModelRecord, now: Moment
    ) -> tuple[ModelRecord, LoadedModel]:
        if desk.refused is None or not desk.refused.holds(now.tick) or desk.good is None:
            try:
                model = await self._models.load(live)
            except AppError as exc:
                desk.refuse(live, problem(exc), now.tick)
                log.warning("model refused", extra={"symbol": desk.symbol, "reason": str(exc)})
                if desk.good is None:
                    raise
            else:
                desk.accept(live)
                return live, model
        assert desk.good is not None
        return desk.good, await self._models.load(desk.good)


def problem(error: AppError) -> Problem:
    return Problem(code=error.code, message=str(error))


def _newest(rows: bytes) -> datetime:
    at_ms: int = ROW.unpack_from(rows, len(rows) - ROW.size)[0]
    return from_ms(at_ms)
