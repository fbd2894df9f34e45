"""Packed candles as numpy sees them: the same bytes, nothing copied."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shared.contracts.errors import CandlesRefused

#: The layout of `shared.market.candles.ROW`.
ROW: Final = np.dtype(
    [
        ("at", "<i8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("volume", "<f8"),
    ]
)

#: Candles: a structured array [rows] of dtype `ROW`, oldest first.
Candles = npt.NDArray[Any]

#: Outside of these, float64 sums of products stop being numbers.
_PRICE_RANGE: Final = (1e-12, 1e15)
_MAX_VOLUME: Final = 1e21


def view(data: bytes | memoryview) -> Candles:
    """See packed candle rows as an array, read-only.

    Raises:
        CandlesRefused: not whole rows, not in the order of time, a price or volume that no feature
            can be computed from, or an open or close that is not between low and high.
    """
    if len(data) % ROW.itemsize:
        raise CandlesRefused(f"{len(data)} bytes are not whole {ROW.itemsize}-byte candles")
    candles = np.frombuffer(data, ROW)
    if np.any(np.diff(candles["at"]) <= 0):
        raise CandlesRefused("the candles are not in the order of time, each once")
    for name in ("open", "high", "low", "close"):
        _within(candles, name, *_PRICE_RANGE)
    _within(candles, "volume", 0.0, _MAX_VOLUME)
    _ordered(candles)
    return candles


def _within(candles: Candles, name: str, least: float, most: float) -> None:
    values = candles[name]
    bad = np.flatnonzero(~((values >= least) & (values <= most)))
    if len(bad):
        at = candles["at"][bad[0]]
        raise CandlesRefused(
            f"{name} is {values[bad[0]]} in the candle at {at} ms; "
            f"it must be between {least:g} and {most:g}"
        )


def _ordered(candles: Candles) -> None:
    low, high = candles["low"], candles["high"]
    for name in ("open", "close"):
        bad = np.flatnonzero((candles[name] < low) | (candles[name] > high))
        if len(bad):
            _, *prices, _ = candles[bad[0]].tolist()
            raise CandlesRefused(
                f"{name} is not between low and high in the candle at {candles['at'][bad[0]]} ms: "
                f"open {prices[0]:g}, high {prices[1]:g}, low {prices[2]:g}, close {prices[3]:g}"
            )
