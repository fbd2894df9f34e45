"""The candle store: every series in one KV bucket, cut into chunks by period.

Keys are `<symbol>.<timeframe>.<period>` for the chunks and `<symbol>.<timeframe>` for the contents
of a series: which chunks there are, and what each holds. The contents are written last, so they
are the moment at which an append has happened. A writer that dies between the two leaves rows that
nobody counts yet; whoever appends the same candles again finds them there and counts them.

Two writers of one series may interleave as they like: each write is a compare-and-set that is
tried again on the newest value, and candles only ever join the ones that are there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from shared.bus.kv import Entry
from shared.contracts.codec import decode, encode
from shared.contracts.errors import Conflict, NotFound
from shared.contracts.records import CandleSummary
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market import chunks
from shared.market.candles import ROW, Candle, between
from shared.market.checks import Gap, Reason, Refusal, gaps
from shared.market.chunks import Contents, Span
from shared.runtime.clock import from_ms

#: Conflicts are other writers' progress; so many in a row mean that something else is wrong.
_TRIES: Final = 20


class Bucket(Protocol):
    """What the store needs of a KV bucket. Reads see every write that was acknowledged."""

    async def get(self, key: str) -> Entry | None: ...

    async def create(self, key: str, value: bytes) -> int: ...

    async def update(self, key: str, value: bytes, last: int) -> int: ...

    async def entries(self, pattern: str) -> list[Entry]: ...


class Series(NamedTuple):
    """The name of one row of candles."""

    symbol: Symbol
    timeframe: Timeframe

    @property
    def key(self) -> str:
        return f"{self.symbol.token}.{self.timeframe}"


class Extent(NamedTuple):
    """Open times in ms of the first and the last candle, and how many are missing in between."""

    first: int
    last: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """`added` is what the series grew by; `newest` its newest open time in ms. `refused` are the
    candles, by their place in the list, that contradict a stored one, which stays.
    """

    added: int
    newest: int | None
    refused: list[Refusal]


class CandleStore:
    """Every method raises Unavailable when the bucket does not answer; after an append that did,
    appending the same candles again is safe.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def append(
        self, symbol: Symbol, timeframe: Timeframe, candles: Sequence[Candle]
    ) -> Appended:
        """Add candles that passed `check`, in any order, between or behind the ones stored.

        Cancelled half-way, some of them may be stored and not yet counted, as after a crash.

        Raises:
            Conflict: other writers were faster twenty times in a row.
        """
        series = Series(symbol, timeframe)
        spans: dict[str, Span] = {}
        differing: set[int] = set()
        for period, group in chunks.by_period(candles, timeframe):
            spans[period], contradicting = await self._merge(series, period, group)
            differing |= contradicting
        added, newest = await self._commit(series, spans)
        refused = [
            Refusal(number, Reason.DUPLICATE)
            for number, candle in enumerate(candles)
            if candle.at_ms in differing
        ]
        return Appended(added=added, newest=newest, refused=refused)

    async def read(
        self,
        symbol: Symbol,
        timeframe: Timeframe,
        *,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> bytes:
        """Packed rows in ascending order with `since_ms` <= open time < `until_ms`; empty where
        there are none.

        Raises:
            NotFound: a chunk that the contents name is gone.
            CandlesRefused: a chunk is damaged or of another version.
        """
        series = Series(symbol, timeframe)
        rows = [
            between(await self._rows(series, period), since_ms, until_ms)
            for period, span in (await self._contents(series)).ordered()
            if (since_ms is None or span.last >= since_ms)
            and (until_ms is None or span.first < until_ms)
        ]
        return b"".join(rows)

    async def tail(self, symbol: Symbol, timeframe: Timeframe, rows: int) -> bytes:
        """The newest `rows` packed rows in ascending order, fewer if there are not so many.

        Reads the contents and the newest chunks only.

        Raises:
            NotFound: a chunk that the contents name is gone.
            CandlesRefused: a chunk is damaged or of another version.
        """
        series = Series(symbol, timeframe)
        newest: list[bytes] = []
        wanted = rows * ROW.size
        for period, _ in reversed((await self._contents(series)).ordered()):
            if wanted <= 0:
                break
            chunk = await self._rows(series, period)
            newest.append(chunk[-wanted:])
            wanted -= len(newest[-1])
        return b"".join(reversed(newest))

    async def extent(self, symbol: Symbol, timeframe: Timeframe) -> Extent | None:
        """Where a series begins and ends, None for one that is not there. Reads no chunk."""
        contents = await self._contents(Series(symbol, timeframe))
        spans = contents.ordered()
        if not spans:
            return None
        return Extent(spans[0][1].first, spans[-1][1].last, contents.missing(timeframe))

    async def gaps(self, symbol: Symbol, timeframe: Timeframe) -> list[Gap]:
        """What is missing between the first candle and the last, oldest first.

        Raises:
            NotFound: a chunk that the contents name is gone.
            CandlesRefused: a chunk is damaged or of another version.
        """
        rows = await self.read(symbol, timeframe)
        return gaps([at_ms for at_ms, *_ in ROW.iter_unpack(rows)], timeframe)

    async def series(self) -> list[Series]:
        """Every series with a candle in it, by name."""
        return [series for series, _ in await self._all_contents()]

    async def summaries(self, *, now_ms: int) -> list[CandleSummary]:
        """Every series in figures, by name. One scan of the contents; no chunk is read.

        `now_ms` is the market's clock, against which `lag_s` is measured.
        """
        return [
            _summary(series, contents, now_ms) for series, contents in await self._all_contents()
        ]

    async def _merge(
        self, series: Series, period: str, new: Sequence[Candle]
    ) -> tuple[Span, set[int]]:
        key = f"{series.key}.{period}"
        for _ in range(_TRIES):
            entry = await self._bucket.get(key)
            stored = chunks.decode(entry.value) if entry else []
            candles, differing = chunks.merge(stored, new)
            try:
                revision = await self._write(key, entry, chunks.encode(candles))
            except Conflict:
                continue
            return chunks.span(candles, series.timeframe, revision=revision), differing
        raise Conflict(f"{key} is changed by others all the time")

    async def _commit(self, series: Series, spans: dict[str, Span]) -> tuple[int, int | None]:
        for _ in range(_TRIES):
            entry = await self._bucket.get(series.key)
            before = decode(entry.value, Contents) if entry else Contents()
            after = before.updated(spans)
            if after != before:
                try:
                    await self._write(series.key, entry, encode(after))
                except Conflict:
                    continue
            return after.rows - before.rows, after.newest
        raise Conflict(f"{series.key} is changed by others all the time")

    async def _write(self, key: str, entry: Entry | None, value: bytes) -> int:
        if entry is None:
            return await self._bucket.create(key, value)
        if entry.value == value:
            return entry.revision
        return await self._bucket.update(key, value, entry.revision)

    async def _contents(self, series: Series) -> Contents:
        entry = await self._bucket.get(series.key)
        return decode(entry.value, Contents) if entry else Contents()

    async def _all_contents(self) -> list[tuple[Series, Contents]]:
        found = []
        for entry in await self._bucket.entries("*.*"):
            token, _, timeframe = entry.key.partition(".")
            series = Series(Symbol.from_token(token), Timeframe(timeframe))
            found.append((series, decode(entry.value, Contents)))
        return sorted(found, key=lambda pair: pair[0])

    async def _rows(self, series: Series, period: str) -> bytes:
        key = f"{series.key}.{period}"
        entry = await self._bucket.get(key)
        if entry is None:
            raise NotFound(f"the candles {key} are gone from the store: import them again")
        return chunks.rows_of(entry.value)


def _summary(series: Series, contents: Contents, now_ms: int) -> CandleSummary:
    spans = contents.ordered()
    closed_ms = spans[-1][1].last + series.timeframe.ms
    return CandleSummary(
        symbol=series.symbol,
        timeframe=series.timeframe,
        first=from_ms(spans[0][1].first),
        last=from_ms(spans[-1][1].last),
        rows=contents.rows,
        gaps=contents.missing(series.timeframe),
        lag_s=max(0.0, (now_ms - closed_ms) / 1000),
    )
