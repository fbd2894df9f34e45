"""Stock splits that nobody has taken out of the candles: found, and undone.

After a 2:1 split the price is half of what it was and nothing has happened. Left alone, it is the
largest loss that a model ever sees. A split is told from a crash by four things, known when its
first candle closes and not from anything later: the gap is almost exactly a common ratio, it dwarfs
the usual moves, the candle itself is an ordinary one, and so is its volume.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.model.candles import Candles

#: A split is judged by this many candles before it.
MEMORY: Final = 21

#: New shares for old ones. A reverse split is one upside down.
_COMMON: Final = tuple(Fraction(r) for r in ("3/2", "2", "3", "4", "5", "7", "10", "20"))
RATIOS: Final = (*_COMMON, *(1 / ratio for ratio in _COMMON))

# The rule, in medians of the log true range of the candles before.
_LEAST_STEP: Final = 8.0
_MOST_BESIDE: Final = 2.0
_MOST_RANGE: Final = 3.0

#: The volume may be so many times the median one before, or so small a part of it.
_MOST_VOLUME: Final = 5.0

_LONGEST_PAUSE_MS: Final = 7 * 86_400_000

#: By the first two limits, a gap smaller than this is no split whatever the market is like.
_LEAST_GAP: Final = float(min(_COMMON)) ** (1.0 - _MOST_BESIDE / _LEAST_STEP)

_PRICES: Final = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """`ratio` new shares for each old one, from the candle at `at_ms` on. `volume`: whether the
    volume stepped as well; there are sources that take the split out of that and not of the price.
    """

    at_ms: int
    ratio: Fraction
    volume: bool

    def __str__(self) -> str:
        at = datetime.fromtimestamp(self.at_ms / 1000.0, UTC)
        return f"{self.ratio.numerator}:{self.ratio.denominator} split at {at:%Y-%m-%dT%H:%M:%SZ}"


def adjusted(candles: Candles) -> tuple[Candles, tuple[Split, ...]]:
    """The candles as if there had always been as many shares as now, and the splits undone in them.

    The newest candles stay as they are. Without a split, the very same array is given back. Whether
    a row is a split's first depends on it and the `MEMORY` rows before it alone, whatever stands
    before those or comes later.
    """
    found = [(row, split) for row in _gaps(candles) if (split := _split(candles, row))]
    if found:
        candles = candles.copy()
    for row, split in found:
        before = candles[:row]
        for name in _PRICES:
            before[name] /= float(split.ratio)
        if split.volume:
            before["volume"] *= float(split.ratio)
    return candles, tuple(split for _, split in found)


def _gaps(candles: Candles) -> list[int]:
    """The rows that might be a split's first, were it only for their gap."""
    gap = candles["open"][MEMORY:] / candles["close"][MEMORY - 1 : -1]
    wide = (gap >= _LEAST_GAP) | (gap <= 1.0 / _LEAST_GAP)
    rows: list[int] = (np.flatnonzero(wide) + MEMORY).tolist()
    return rows


def _split(candles: Candles, row: int) -> Split | None:
    """The split whose first candle is at `row`; None where it is anything else."""
    before, first = candles[row - MEMORY : row], candles[row]
    usual = float(np.median(_log_true_ranges(before)))
    step = float(np.log(before["close"][-1] / first["open"]))
    ratio = min(RATIOS, key=lambda each: abs(np.log(float(each)) - step))
    exact = float(np.log(float(ratio)))
    if (
        usual == 0.0
        or abs(exact) < _LEAST_STEP * usual
        or abs(step - exact) > _MOST_BESIDE * usual
        or np.log(first["high"] / first["low"]) > _MOST_RANGE * usual
        or first["at"] - before["at"][-1] > _LONGEST_PAUSE_MS
    ):
        return None
    share, usual_volume = float(ratio), float(np.median(before["volume"]))
    least, most = min(share, 1.0) / _MOST_VOLUME, max(share, 1.0) * _MOST_VOLUME
    if not least * usual_volume <= first["volume"] <= most * usual_volume:
        return None
    # Of the two that the volume may have done, what is nearer to what it did.
    middle = usual_volume * share**0.5
    stepped = first["volume"] > middle if share > 1.0 else first["volume"] < middle
    return Split(at_ms=int(first["at"]), ratio=ratio, volume=bool(stepped))


def _log_true_ranges(candles: Candles) -> npt.NDArray[np.float64]:
    close = candles["close"][:-1]
    high = np.maximum(candles["high"][1:], close)
    low = np.minimum(candles["low"][1:], close)
    ranges: npt.NDArray[np.float64] = np.log(high / low)
    return ranges
