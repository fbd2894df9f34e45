"""Candles: what the market did in one interval, and how many of them are kept as bytes."""

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from shared.contracts.errors import CandlesRefused

#: Open time in ms since the epoch, then open, high, low, close, volume; little-endian, 48 bytes.
#: As a numpy dtype: `[("at", "<i8"), ("open", "<f8"), ..., ("volume", "<f8")]`.
ROW: Final = struct.Struct("<qddddd")


class Candle(NamedTuple):
    """One interval. `at_ms` is its open time in milliseconds since the epoch, UTC."""

    at_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def pack(candles: Iterable[Candle]) -> bytes:
    """Rows in the given order, nothing else; rows of adjacent chunks can be concatenated."""
    return b"".join(ROW.pack(*candle) for candle in candles)


def unpack(data: bytes) -> list[Candle]:
    """The inverse of `pack`.

    Raises:
        CandlesRefused: the length is not a whole number of rows.
    """
    if len(data) % ROW.size:
        raise CandlesRefused(f"{len(data)} bytes are not a whole number of {ROW.size}-byte candles")
    return [Candle(*row) for row in ROW.iter_unpack(data)]
