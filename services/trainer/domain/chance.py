"""What a ROC AUC is worth: how high it gets where there is nothing to find.

On a short window it strays from 0.5, and not evenly: features and labels are made of the same
candles, overlap, and are seen from one path only. The table holds what the ensemble's got on random
walks, trained and judged by this very code; `tests/benchmarks/chance_table.py` makes it.
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
    14: ((0.584, 0.659, 0.697, 0.716, 0.692), (0.228, 0.302, 0.303, 0.284, 0.308)),
    40: ((0.530, 0.559, 0.546, 0.589, 0.585), (0.165, 0.198, 0.347, 0.378, 0.414)),
    56: ((0.502, 0.536, 0.542, 0.540, 0.575), (0.123, 0.192, 0.253, 0.330, 0.367)),
    120: ((0.504, 0.507, 0.513, 0.513, 0.523), (0.094, 0.112, 0.170, 0.222, 0.326)),
    480: ((0.493, 0.487, 0.480, 0.491, 0.491), (0.050, 0.058, 0.078, 0.110, 0.151)),
    1920: ((0.495, 0.494, 0.494, 0.498, 0.507), (0.015, 0.027, 0.042, 0.042, 0.065)),
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
