"""Trailing windows over a series, as vectors.

The value at row t comes from the newest `size` values up to t and nothing else, bit by bit: no
running sum carries rounding from older rows along. The first `size - 1` rows have no whole window;
they are computed as if the first value had been repeated before, and callers leave them out.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]

#: A spread this small against its level is rounding, not movement.
_NOISE: Final = 1e-9


def lag(series: Series, rows: int) -> Series:
    """The value `rows` rows ago."""
    if rows == 0:
        return series
    kept = max(len(series) - rows, 0)
    return np.concatenate([np.full(len(series) - kept, series[0]), series[:kept]])


def change(series: Series, rows: int = 1) -> Series:
    return series - lag(series, rows)


def total(series: Series, size: int) -> Series:
    """Sums, made of sums over 1, 2, 4, ... rows: the same additions at every row."""
    result: Series | None = None
    power, width, done = series, 1, 0
    while True:
        if size & width:
            part = lag(power, done)
            result = part if result is None else result + part
            done += width
        if done == size:
            assert result is not None
            return result
        power = power + lag(power, width)
        width *= 2


def mean(series: Series, size: int) -> Series:
    return total(series, size) / size


def highest(series: Series, size: int) -> Series:
    """Maxima: of two overlapping windows whose width is a power of two."""
    width = 1
    while width * 2 <= size:
        series = np.maximum(series, lag(series, width))
        width *= 2
    return np.maximum(series, lag(series, size - width))


def lowest(series: Series, size: int) -> Series:
    return -highest(-series, size)


def rows_since_highest(series: Series, size: int) -> Series:
    """How many rows ago the maximum was; the newest one where there are several."""
    best, since = series, np.zeros(len(series))
    for ago, value in enumerate(_newest_first(series, size)):
        higher = value > best
        best = np.where(higher, value, best)
        since = np.where(higher, ago, since)
    return since


def centred_squares(series: Series, size: int) -> Series:
    """The mean squared distance from the window's own mean; two passes, so nothing cancels."""
    centre = mean(series, size)
    result = np.zeros(len(series))
    for value in _newest_first(series, size):
        result += (value - centre) ** 2
    return result / size


def deviation(series: Series, size: int) -> Series:
    """The population standard deviation."""
    return np.sqrt(centred_squares(series, size))


def absolute_deviation(series: Series, size: int) -> Series:
    """The mean absolute distance from the window's own mean."""
    centre = mean(series, size)
    result = np.zeros(len(series))
    for value in _newest_first(series, size):
        result += np.abs(value - centre)
    return result / size


def correlation(one: Series, other: Series, size: int) -> Series:
    """Pearson's, and 0 where either series stands still."""
    centre_one, centre_other = mean(one, size), mean(other, size)
    product = np.zeros(len(one))
    pairs = zip(_newest_first(one, size), _newest_first(other, size), strict=True)
    for value_one, value_other in pairs:
        product += (value_one - centre_one) * (value_other - centre_other)
    spread = deviation(one, size) * deviation(other, size)
    return ratio(product / size, spread, least=_NOISE**2)


def weighted(series: Series, weights: Series) -> Series:
    """The sum of `weights[k]` times the value k rows ago."""
    before = np.full(len(weights) - 1, series[0])
    return np.convolve(np.concatenate([before, series]), weights, "valid")


def exponential(span: int) -> Series:
    """The weights of an exponential average, cut where 5 % of them are left, and normalised."""
    weights = (1.0 - 2.0 / (span + 1.0)) ** np.arange(3 * span // 2)
    normalised: Series = weights / weights.sum()
    return normalised


def trend(size: int) -> Series:
    """The weights that give the least-squares slope per row."""
    centred = (size - 1) / 2.0 - np.arange(size)
    slopes: Series = centred / (centred**2).sum()
    return slopes


def ratio(
    above: Series, below: Series, *, least: float | Series = 0.0, undefined: float = 0.0
) -> Series:
    """`above / below`, and `undefined` where `below` is not more than `least`."""
    result = np.full(len(above), undefined)
    np.divide(above, below, out=result, where=below > least)
    return result


def noise(level: Series) -> Series:
    """What a spread around `level` must exceed to be more than rounding."""
    return _NOISE * np.abs(level)


def _newest_first(series: Series, size: int) -> Iterator[Series]:
    """The value 0, 1, ... rows ago."""
    before = np.full(size - 1, series[0])
    padded = np.concatenate([before, series])
    for ago in range(size):
        start = size - 1 - ago
        yield padded[start : start + len(series)]
