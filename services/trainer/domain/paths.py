"""What followed each candle at whose close a signal may have been given.

Which of two levels the market touches first is looked up: for each candle and each level there is a
table of the first candle behind it that trades there, so that one set of parameters costs a few
look-ups per trade, and thousands of sets can be tried one by one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.contracts.terms import Horizon, Timeframe
from shared.model.candles import Candles

Counts = npt.NDArray[np.intp]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Paths:
    """`rows` candles, the first ones of `candles`; those behind them are there to look ahead.

    Candles are counted from the row: 1 is the next one. `above` and `below` [levels, rows] are the
    first candle that trades at `levels` average true ranges from the close or farther away, or one
    more than there are in the longest of `horizons`. `last` [horizons, rows] is the candle that a
    signal ends with at the latest: where the market rests it is nearer, and where it is missing it
    is the next one, `late`, of which only the open counts.
    """

    rows: int
    candles: Candles
    timeframe_ms: int
    atr: Values
    levels: tuple[float, ...]
    horizons: tuple[Horizon, ...]
    above: Counts
    below: Counts
    last: Counts
    late: npt.NDArray[np.bool_]


def paths(
    candles: Candles,
    atr_pct: Values,
    timeframe: Timeframe,
    horizons: tuple[Horizon, ...],
    levels: tuple[float, ...],
) -> Paths:
    """`atr_pct` [rows] is in percent of the close, and of the first candles: behind each of them
    there must be as many as the longest horizon.
    """
    rows, longest = len(atr_pct), max(horizons)
    close = candles["close"][:rows]
    atr = close * atr_pct / 100.0
    at = candles["at"]
    wanted = np.array(horizons)[:, None] * timeframe.ms + at[:rows]
    # Nobody's candles are closer than their timeframe; but if they are, the tables end there.
    found = np.minimum(np.searchsorted(at, wanted), np.arange(rows) + longest)
    return Paths(
        rows=rows,
        candles=candles,
        timeframe_ms=timeframe.ms,
        atr=atr,
        levels=levels,
        horizons=horizons,
        above=_first_at(candles["high"], close, atr, levels, longest),
        below=_first_at(-candles["low"], -close, atr, levels, longest),
        last=found - np.arange(rows),
        late=at[found] >= wanted + timeframe.ms,
    )


def _first_at(
    extremes: Values, close: Values, atr: Values, levels: tuple[float, ...], longest: int
) -> Counts:
    """[levels, rows]: downwards it is the same with every price negative."""
    ahead = np.lib.stride_tricks.sliding_window_view(extremes[1:], longest)[: len(close)]
    found = np.empty((len(levels), len(close)), np.intp)
    for row, level in zip(found, levels, strict=True):
        touched = ahead >= (close + level * atr)[:, None]
        row[:] = np.where(touched.any(axis=1), touched.argmax(axis=1), longest) + 1
    return found
