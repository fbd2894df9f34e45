"""Every prediction that is served is noted first, and scored when its time has come."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final, Protocol

from services.predictor.domain.outcomes import Closes, oldest, updated
from shared.contracts.errors import CandlesRefused, MalformedMessage
from shared.contracts.quality import Scorecard
from shared.contracts.records import Prediction
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.model.candles import view
from shared.model.splits import MEMORY, adjusted
from shared.runtime.clock import from_ms

log = logging.getLogger(__name__)

#: How many candles the store may be ahead of a prediction before scoring waits for the next one.
_AHEAD: Final = 10


class Predictions(Protocol):
    async def publish(self, prediction: Prediction) -> Prediction:
        """Tell it to everyone, unless they know it, or a newer one, already; what they know now."""


class Scorecards(Protocol):
    """Every verb may raise Unavailable, or MalformedMessage where something else is stored."""

    async def find(self, symbol: Symbol) -> Scorecard: ...

    async def revise(self, symbol: Symbol, revised: Callable[[Scorecard], Scorecard]) -> None:
        """Write what is made of the newest one, and again if someone else wrote in between."""


class Candles(Protocol):
    async def tail(self, symbol: Symbol, timeframe: Timeframe, rows: int) -> bytes:
        """The newest packed rows, oldest first; may raise Unavailable."""


class NotedPredictions:
    """Predictions that cannot be told without being noted on the scorecard of their symbol.

    It is noted before it is told: whoever dies in between tells the same again in the next life,
    and what was told is scored. The same write scores what has become due, so nothing is lost or
    doubled by two predictors, or by a death anywhere.
    """

    def __init__(self, predictions: Predictions, scorecards: Scorecards, candles: Candles) -> None:
        self._predictions = predictions
        self._scorecards = scorecards
        self._candles = candles

    async def publish(self, prediction: Prediction) -> Prediction:
        """Note it, score what is due, and tell it to everyone; what they know now.

        A scorecard or candles that cannot be read stand in no prediction's way.

        Raises:
            AppError: that could not be done now.
        """
        try:
            await self._note(prediction)
        except (MalformedMessage, CandlesRefused) as exc:
            extra = {"symbol": prediction.symbol, "reason": str(exc)}
            log.error("a prediction will not be scored", extra=extra)
        return await self._predictions.publish(prediction)

    async def _note(self, prediction: Prediction) -> None:
        symbol, timeframe = prediction.symbol, prediction.timeframe
        since = oldest(await self._scorecards.find(symbol), prediction)
        passed = (prediction.candle_at - since) // timedelta(seconds=timeframe.seconds)
        # To tell a split takes the candles before it.
        rows = await self._candles.tail(symbol, timeframe, passed + 1 + MEMORY + _AHEAD)
        closes = await asyncio.to_thread(_closes, rows)
        await self._scorecards.revise(symbol, partial(updated, served=prediction, closes=closes))


def _closes(rows: bytes) -> Closes:
    """Splits are undone by the same rule as in the label that the model has learned."""
    candles, _ = adjusted(view(rows))
    at_ms: list[int] = candles["at"].tolist()
    return Closes(at=tuple(map(from_ms, at_ms)), values=candles["close"].tolist())
