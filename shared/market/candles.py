"""Candles: what the market did in one interval, and how many of them are kept as bytes."""

import struct
from bisect import bisect_left
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


def between(rows: bytes, since_ms: int | None, until_ms: int | None) -> bytes:
    """Of packed rows in ascending order, those with `since_ms` <= open time < `until_ms`."""
    start = 0 if since_ms is None else _rows_before(rows, since_ms)
    end = len(rows) // ROW.size if until_ms is None else _rows_before(rows, until_ms)
    return rows[start * ROW.size : end * ROW.size]


def opened_at(rows: bytes, number: int) -> int:
    """The open time of a packed row, counting from 0."""
    at_ms: int = ROW.unpack_from(rows, number * ROW.size)[0]
    return at_ms


def _rows_before(rows: bytes, at_ms: int) -> int:
    return bisect_left(range(len(rows) // ROW.size), at_ms, key=lambda n: opened_at(rows, n))
