"""Made-up markets whose truth is known. The same seed is the same market."""

import math

import numpy as np
import numpy.typing as npt

from shared.contracts.terms import Timeframe
from shared.model.candles import ROW, Candles

START_MS = 1_704_067_200_000  # 2024-01-01

_STEP = 0.01


def random_walk(
    rows: int, *, seed: int = 0, timeframe: Timeframe = Timeframe.D1, drift: float = 0.0
) -> Candles:
    """Nothing in it foretells anything."""
    rng = np.random.default_rng(seed)
    moves = _STEP * rng.standard_normal(rows) + drift
    volume = np.exp(10.0 + 0.5 * rng.standard_normal(rows))
    return _candles(moves, volume, timeframe, rng)


def planted_signal(
    rows: int,
    *,
    strength: float | npt.NDArray[np.float64],
    seed: int = 0,
    timeframe: Timeframe = Timeframe.D1,
) -> Candles:
    """The level of the volume foretells the next return: `strength` of its standard deviations,
    the same for all returns but the first, or one each.
    """
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal(rows)
    for row in range(1, rows):
        signal[row] = 0.7 * signal[row - 1] + math.sqrt(0.51) * signal[row]
    moves = _STEP * rng.standard_normal(rows)
    moves[1:] += _STEP * strength * signal[:-1]
    return _candles(moves, np.exp(10.0 + 0.5 * signal), timeframe, rng)


def clustered(
    rows: int, *, seed: int = 0, timeframe: Timeframe = Timeframe.D1, drift: float = 0.0
) -> Candles:
    """A random walk whose steps are large for a while, then small: the logarithm of their standard
    deviation reverts to its mean, by half in 34 rows, and wanders from it by 0.5 either way.
    """
    rng = np.random.default_rng(seed)
    level = rng.standard_normal(rows)
    for row in range(1, rows):
        level[row] = 0.98 * level[row - 1] + math.sqrt(1.0 - 0.98**2) * level[row]
    step = _STEP * np.exp(0.5 * level)
    volume = np.exp(10.0 + 0.5 * rng.standard_normal(rows))
    return _candles(step * rng.standard_normal(rows) + drift, volume, timeframe, rng, step)


def troubled(rows: int, *, seed: int = 0) -> Candles:
    """A price that stands still for long stretches, and hours without a trade."""
    candles = random_walk(rows, seed=seed, timeframe=Timeframe.H1)
    for start in range(0, rows, 100):
        still = slice(start, start + 40)
        candles["volume"][still] = 0.0
        for name in ("open", "high", "low", "close"):
            candles[name][still] = candles["close"][start]
    return candles


def split_at(candles: Candles, row: int, ratio: float, *, volume: bool = True) -> Candles:
    """The same market, where there are `ratio` shares for each old one from this row on."""
    candles = candles.copy()
    for name in ("open", "high", "low", "close"):
        candles[name][row:] /= ratio
    if volume:
        candles["volume"][row:] *= ratio
    return candles


def _candles(
    moves: npt.NDArray[np.float64],
    volume: npt.NDArray[np.float64],
    timeframe: Timeframe,
    rng: np.random.Generator,
    step: float | npt.NDArray[np.float64] = _STEP,
) -> Candles:
    rows = len(moves)
    close = 100.0 * np.exp(np.cumsum(moves))
    start = np.concatenate([[100.0], close[:-1]]) * np.exp(0.1 * step * rng.standard_normal(rows))
    wick = np.exp(np.abs(0.5 * step * rng.standard_normal((2, rows))))
    candles = np.empty(rows, ROW)
    candles["at"] = START_MS + np.arange(rows) * timeframe.ms
    candles["open"], candles["close"], candles["volume"] = start, close, volume
    candles["high"] = np.maximum(start, close) * wick[0]
    candles["low"] = np.minimum(start, close) / wick[1]
    return candles
