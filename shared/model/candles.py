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
        CandlesRefused: not whole rows, not in the order of time, or a price or volume that no
            feature can be computed from.
    """
    if len(data) % ROW.itemsize:
        raise CandlesRefused(f"{len(data)} bytes are not whole {ROW.itemsize}-byte candles")
    candles = np.frombuffer(data, ROW)
    if np.any(np.diff(candles["at"]) <= 0):
        raise CandlesRefused("the candles are not in the order of time, each once")
    for name in ("open", "high", "low", "close"):
        _within(candles, name, *_PRICE_RANGE)
    _within(candles, "volume", 0.0, _MAX_VOLUME)
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
