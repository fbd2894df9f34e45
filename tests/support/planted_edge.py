"""A market in which some forecasts are worth something, and it is known what to make of them.

After a sure forecast the price goes against it at first, then its way, and then back: in average
true ranges, after so many candles,

    1: -0.7   2: -1.2   3: -0.2   4: 1.2   5: 2.4   6: 3.4   7: 1.0   8: -0.5   10: -2   12: -3

But some are wrong, and the price goes nowhere but against them, by 6 within 4 candles. So the
stop-loss has to be beyond 1.2 and not farther, the take-profit below 3.4, and the signal has to
last for more than 3 candles and fewer than 10. All other forecasts are neither sure nor worth
anything.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from shared.contracts.terms import Horizon, Timeframe
from shared.contracts.trading import SignalParameters
from shared.model.candles import ROW, Candles
from tests.support.markets import random_walk

HORIZONS: Final[tuple[Horizon, ...]] = (1, 3, 7, 14, 30)
#: Every threshold between the unsure forecasts and the sure ones is as good.
BEST: Final = SignalParameters(
    take_profit_atr=3.0, stop_loss_atr=2.0, min_confidence=0.56, holding=7
)
SURE: Final = (0.515, 0.62)

ATR_PCT: Final = 1.0

_RIGHT: Final = (-0.7, -1.2, -0.2, 1.2, 2.4, 3.4, 1.0, -0.5, -1.3, -2.0, -2.5, -3.0)
_WRONG: Final = (-1.0, -2.5, -4.5, -6.0)
_EVERY: Final = 20


class Told(NamedTuple):
    """What a search is given."""

    candles: Candles
    atr_pct: npt.NDArray[np.float64]
    p_up: npt.NDArray[np.float64]


def planted_edge(rows: int, *, seed: int, right: float) -> Told:
    """`right` is the share of the sure forecasts that are. The same seed is the same market."""
    rng = np.random.default_rng(seed)
    length = rows + max(HORIZONS)
    moves = 0.3 * rng.standard_normal(length)
    confidence = rng.uniform(0.5, SURE[0], length)
    way = rng.choice([-1.0, 1.0], length)
    for row in range(0, length, _EVERY):
        confidence[row] = SURE[1]
        course = _RIGHT if rng.random() < right else _WRONG
        steps = np.diff(course, prepend=0.0)[: length - row - 1]
        moves[row + 1 : row + 1 + len(steps)] += way[row] * steps
    p_up = 0.5 + way * (confidence - 0.5)
    return Told(
        candles=_candles(moves * ATR_PCT / 100.0, rng),
        atr_pct=np.full(rows, ATR_PCT),
        p_up=np.repeat(p_up[:rows, None], len(HORIZONS), axis=1),
    )


def aimless(seed: int, rows: int) -> Told:
    """A random walk, and forecasts that know nothing of it; every other seed, for a long time the
    same nothing.
    """
    rng = np.random.default_rng(seed)
    margin = 0.3 * rng.standard_normal((rows, len(HORIZONS)))
    if seed % 2:
        margin = 0.1 * np.cumsum(margin, axis=0)
    return Told(
        candles=random_walk(rows + max(HORIZONS), seed=seed, timeframe=Timeframe.M15),
        atr_pct=np.full(rows, 1.2),
        p_up=1.0 / (1.0 + np.exp(-margin)),
    )


def _candles(moves: npt.NDArray[np.float64], rng: np.random.Generator) -> Candles:
    rows = len(moves)
    candles = np.zeros(rows, ROW)
    candles["at"] = 1_700_000_000_000 + np.arange(rows) * Timeframe.M15.ms
    candles["close"] = 100.0 * np.exp(np.cumsum(moves))
    candles["open"] = np.append(100.0, candles["close"][:-1])
    wick = np.exp(np.abs(0.001 * rng.standard_normal((2, rows))))
    candles["high"] = np.maximum(candles["open"], candles["close"]) * wick[0]
    candles["low"] = np.minimum(candles["open"], candles["close"]) / wick[1]
    return candles
