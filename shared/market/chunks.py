"""How a series is cut into stored pieces, and what is known of each piece without reading it.

A piece is rewritten whenever a candle is added to it, so it is short where candles are frequent:
69 KB at most for a day of minutes, 143 KB for a month of quarter hours. That is far below the
1 MiB that a NATS message may have.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Final, Literal, NamedTuple

from shared.contracts.errors import CandlesRefused
from shared.contracts.terms import Timeframe
from shared.market.candles import ROW, Candle, pack, unpack
from shared.market.checks import gaps, missing, traded_at_weekends
from shared.runtime.clock import from_ms

#: Magic with the version of the layout, then how many rows follow.
_HEADER: Final = struct.Struct("<4sI")
_MAGIC: Final = b"EVC1"
_PERIODS: Final = {
    Timeframe.M1: "%Y-%m-%d",
    Timeframe.M5: "%Y-%m-%d",
    Timeframe.M15: "%Y-%m",
    Timeframe.H1: "%Y-%m",
    Timeframe.H4: "%Y",
    Timeframe.D1: "%Y",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What one chunk holds. `first` and `last` are open times in ms; `gaps` counts the candles
    missing between them; `revision` is that of the chunk this was read from.
    """

    first: int
    last: int
    rows: int
    gaps: int
    weekends: bool
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The chunks of one series by their period."""

    v: Literal[1] = 1
    spans: dict[str, Span] = field(default_factory=dict)

    def ordered(self) -> list[tuple[str, Span]]:
        """From the oldest chunk to the newest."""
        return sorted(self.spans.items(), key=lambda item: item[1].first)

    @property
    def rows(self) -> int:
        return sum(span.rows for span in self.spans.values())

    @property
    def newest(self) -> int | None:
        return max((span.last for span in self.spans.values()), default=None)

    def updated(self, spans: Mapping[str, Span]) -> "Contents":
        """With these spans, save those that were read from an older chunk than the ones here."""
        newer = {
            period: span
            for period, span in spans.items()
            if period not in self.spans or span.revision > self.spans[period].revision
        }
        return Contents(spans={**self.spans, **newer})

    def missing(self, timeframe: Timeframe) -> int:
        """Candles missing inside the chunks and between them."""
        spans = [span for _, span in self.ordered()]
        return sum(span.gaps for span in spans) + sum(
            missing(
                before.last,
                after.first,
                timeframe,
                closed_at_weekends=not (before.weekends or after.weekends),
            )
            for before, after in pairwise(spans)
        )


class Merged(NamedTuple):
    """Stored and new candles in one order. `differing` are the open times of new candles that
    contradict a stored one; the stored one stays.
    """

    candles: list[Candle]
    differing: set[int]


def period(at_ms: int, timeframe: Timeframe) -> str:
    """The piece that a candle belongs to: `2026-11-20`, `2026-11` or `2026`."""
    return from_ms(at_ms).strftime(_PERIODS[timeframe])


def by_period(
    candles: Iterable[Candle], timeframe: Timeframe
) -> Iterable[tuple[str, list[Candle]]]:
    """Candles of each piece. Candles out of order come in several lists of the same piece."""
    for name, group in groupby(candles, key=lambda candle: period(candle.at_ms, timeframe)):
        yield name, list(group)


def merge(stored: Sequence[Candle], new: Iterable[Candle]) -> Merged:
    """Every stored candle, and each new one whose time was free. Merging twice changes nothing."""
    known = {candle.at_ms: candle for candle in stored}
    differing = {candle.at_ms for candle in new if known.setdefault(candle.at_ms, candle) != candle}
    return Merged(sorted(known.values()), differing)


def encode(candles: Sequence[Candle]) -> bytes:
    return _HEADER.pack(_MAGIC, len(candles)) + pack(candles)


def rows_of(chunk: bytes) -> bytes:
    """The packed rows of an encoded chunk.

    Raises:
        CandlesRefused: not a chunk, of another version, or cut short.
    """
    if len(chunk) < _HEADER.size:
        raise CandlesRefused(f"a candle chunk of {len(chunk)} bytes has no header")
    magic, count = _HEADER.unpack_from(chunk)
    if magic != _MAGIC:
        raise CandlesRefused(f"a candle chunk begins with {magic!r}; this version reads {_MAGIC!r}")
    if len(chunk) != _HEADER.size + count * ROW.size:
        raise CandlesRefused(f"a candle chunk promises {count} rows but is {len(chunk)} bytes long")
    return chunk[_HEADER.size :]


def decode(chunk: bytes) -> list[Candle]:
    """The inverse of `encode`.

    Raises:
        CandlesRefused: not a chunk, of another version, or cut short.
    """
    return unpack(rows_of(chunk))


def span(candles: Sequence[Candle], timeframe: Timeframe, *, revision: int) -> Span:
    """What a chunk of these candles, at least one, holds."""
    times = [candle.at_ms for candle in candles]
    return Span(
        first=times[0],
        last=times[-1],
        rows=len(times),
        gaps=sum(gap.missing for gap in gaps(times, timeframe)),
        weekends=traded_at_weekends(times, timeframe),
        revision=revision,
    )
