from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.bus.kv import Entry
from shared.contracts.errors import CandlesRefused, Conflict, NotFound, Unavailable
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle, pack, unpack
from shared.market.checks import Reason, Refusal
from shared.market.store import CandleStore, Series
from tests.support.buckets import MemoryBucket

BTC = Symbol("BTC/USDT")
THYAO = Symbol("THYAO.IS")
M15 = Timeframe.M15


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def candles(start: str, count: int, timeframe: Timeframe = M15) -> list[Candle]:
    first = ms(start)
    return [
        Candle(first + n * timeframe.ms, 10.0 + n, 12.0 + n, 9.0 + n, 11.0 + n, float(n))
        for n in range(count)
    ]


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def store(bucket: MemoryBucket) -> CandleStore:
    return CandleStore(bucket)


async def test_what_was_appended_is_read_in_order(store: CandleStore) -> None:
    rows = candles("2026-11-30T23:00", 12)
    appended = await store.append(BTC, M15, list(reversed(rows)))
    assert (appended.added, appended.newest, appended.refused) == (12, rows[-1].at_ms, [])
    assert await store.read(BTC, M15) == pack(rows)


async def test_candles_are_kept_under_readable_keys(
    store: CandleStore, bucket: MemoryBucket
) -> None:
    await store.append(THYAO, M15, candles("2026-11-30T23:45", 2))
    assert [e.key for e in await bucket.entries()] == [
        "THYAO=2EIS.15m.2026-11",
        "THYAO=2EIS.15m.2026-12",
        "THYAO=2EIS.15m",
    ]


@pytest.mark.parametrize(
    ("timeframe", "count"),
    [("1m", 1440), ("5m", 288), ("15m", 2976), ("1h", 744), ("4h", 2196), ("1d", 366)],
)
async def test_the_longest_chunk_is_far_below_the_largest_message(
    timeframe: str, count: int, store: CandleStore, bucket: MemoryBucket
) -> None:
    await store.append(
        BTC, Timeframe(timeframe), candles("2024-01-01", count, Timeframe(timeframe))
    )
    (chunk,) = await bucket.entries(f"BTC_USDT.{timeframe}.*")
    assert len(chunk.value) < 150_000


async def test_appending_the_same_again_writes_nothing(
    store: CandleStore, bucket: MemoryBucket
) -> None:
    rows = candles("2026-11-30T23:00", 12)
    await store.append(BTC, M15, rows)
    before = await bucket.entries()
    again = await store.append(BTC, M15, rows)
    assert (again.added, again.newest, again.refused) == (0, rows[-1].at_ms, [])
    assert await bucket.entries() == before


async def test_older_candles_join_before_the_ones_stored(store: CandleStore) -> None:
    rows = candles("2026-11-20", 10)
    await store.append(BTC, M15, rows[6:])
    appended = await store.append(BTC, M15, rows[:8])
    assert (appended.added, appended.newest) == (6, rows[-1].at_ms)
    assert await store.read(BTC, M15) == pack(rows)


async def test_a_candle_that_contradicts_a_stored_one_is_refused(store: CandleStore) -> None:
    rows = candles("2026-11-20", 3)
    await store.append(BTC, M15, rows[:2])
    appended = await store.append(BTC, M15, [rows[1]._replace(close=9.5), rows[2]])
    assert appended.refused == [Refusal(0, Reason.DUPLICATE)]
    assert appended.added == 1
    assert await store.read(BTC, M15) == pack(rows)


async def test_a_range_includes_its_start_and_excludes_its_end(store: CandleStore) -> None:
    rows = candles("2026-11-30T23:00", 12)
    await store.append(BTC, M15, rows)
    read = await store.read(BTC, M15, since_ms=rows[3].at_ms, until_ms=rows[9].at_ms)
    assert unpack(read) == rows[3:9]
    between = await store.read(BTC, M15, since_ms=rows[3].at_ms + 1, until_ms=rows[9].at_ms + 1)
    assert unpack(between) == rows[4:10]
    assert await store.read(BTC, M15, since_ms=rows[-1].at_ms + 1) == b""


async def test_a_series_that_is_not_there_is_empty(store: CandleStore) -> None:
    assert await store.read(BTC, M15) == b""
    assert await store.tail(BTC, M15, 10) == b""
    assert await store.extent(BTC, M15) is None
    assert await store.series() == []
    nothing = await store.append(BTC, M15, [])
    assert (nothing.added, nothing.newest) == (0, None)


class Counting(MemoryBucket):
    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    async def get(self, key: str) -> Entry | None:
        self.reads.append(key)
        return await super().get(key)


async def test_the_tail_is_read_from_the_newest_chunks_only() -> None:
    bucket = Counting()
    store = CandleStore(bucket)
    rows = candles("2026-10-31T23:00", 31 * 96)
    await store.append(BTC, M15, rows)
    bucket.reads.clear()
    assert await store.tail(BTC, M15, 100) == pack(rows[-100:])
    assert bucket.reads == ["BTC_USDT.15m", "BTC_USDT.15m.2026-12", "BTC_USDT.15m.2026-11"]
    assert await store.tail(BTC, M15, 10**6) == pack(rows)
    assert await store.tail(BTC, M15, 0) == b""


async def test_a_summary_shows_the_gaps_and_the_lag(store: CandleStore) -> None:
    rows = candles("2026-11-30T23:00", 12)
    await store.append(BTC, M15, rows[:2] + rows[3:4] + rows[8:])
    await store.append(THYAO, Timeframe.D1, candles("2026-11-20", 1, Timeframe.D1))
    bitcoin, airline = await store.summaries(now_ms=rows[-1].at_ms + M15.ms + 1500)
    assert (bitcoin.symbol, bitcoin.timeframe, bitcoin.rows) == (BTC, M15, 7)
    assert (bitcoin.gaps, bitcoin.lag_s) == (5, 1.5)
    assert bitcoin.first == datetime(2026, 11, 30, 23, tzinfo=UTC)
    assert bitcoin.last == datetime(2026, 12, 1, 1, 45, tzinfo=UTC)
    assert (airline.symbol, airline.rows, airline.gaps) == (THYAO, 1, 0)
    assert await store.series() == [Series(BTC, M15), Series(THYAO, Timeframe.D1)]


async def test_a_weekend_between_two_years_of_a_stock_is_no_gap(store: CandleStore) -> None:
    friday, monday = candles("2027-12-31", 1, Timeframe.D1) + candles("2028-01-03", 1, Timeframe.D1)
    await store.append(THYAO, Timeframe.D1, [friday, monday])
    (summary,) = await store.summaries(now_ms=monday.at_ms)
    assert (summary.gaps, summary.lag_s) == (0, 0.0)


class Interrupted(MemoryBucket):
    """Lets something else happen just before the next write to `key`."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self.interruptions: list[Callable[[], Awaitable[object]]] = []

    async def create(self, key: str, value: bytes) -> int:
        await self._interrupt(key)
        return await super().create(key, value)

    async def update(self, key: str, value: bytes, last: int) -> int:
        await self._interrupt(key)
        return await super().update(key, value, last)

    async def _interrupt(self, key: str) -> None:
        if key == self.key and self.interruptions:
            await self.interruptions.pop()()


@pytest.mark.parametrize("key", ["BTC_USDT.15m.2026-11", "BTC_USDT.15m"])
@pytest.mark.parametrize("known", [0, 2])
async def test_two_writers_lose_nothing_and_count_every_candle_once(key: str, known: int) -> None:
    rows = candles("2026-11-20", 10)
    bucket = Interrupted(key)
    store = CandleStore(bucket)
    await store.append(BTC, M15, rows[:known])
    others = []

    async def other_writer() -> None:
        others.append(await store.append(BTC, M15, rows[:7]))

    bucket.interruptions.append(other_writer)
    mine = await store.append(BTC, M15, rows[4:])
    assert await store.read(BTC, M15) == pack(rows)
    assert known + mine.added + others[0].added == len(rows)
    (summary,) = await store.summaries(now_ms=0)
    assert (summary.rows, summary.gaps) == (10, 0)


async def test_an_append_that_died_before_it_counted_is_counted_by_the_next() -> None:
    rows = candles("2026-11-20", 3)

    async def die() -> None:
        raise Unavailable("the writer died here")

    bucket = Interrupted("BTC_USDT.15m")
    bucket.interruptions.append(die)
    store = CandleStore(bucket)
    with pytest.raises(Unavailable):
        await store.append(BTC, M15, rows)
    assert await store.extent(BTC, M15) is None
    appended = await store.append(BTC, M15, rows)
    assert (appended.added, appended.newest) == (3, rows[-1].at_ms)


async def test_an_append_that_always_loses_says_so() -> None:
    class Contended(MemoryBucket):
        async def create(self, key: str, value: bytes) -> int:
            raise Conflict("always")

    with pytest.raises(Conflict, match="BTC_USDT"):
        await CandleStore(Contended()).append(BTC, M15, candles("2026-11-20", 1))


async def test_a_chunk_that_was_removed_is_missed_and_can_be_imported_again(
    store: CandleStore, bucket: MemoryBucket
) -> None:
    rows = candles("2026-11-20", 3)
    await store.append(BTC, M15, rows)
    await bucket.delete("BTC_USDT.15m.2026-11")
    with pytest.raises(NotFound, match="import them again"):
        await store.read(BTC, M15)
    await store.append(BTC, M15, rows)
    assert await store.tail(BTC, M15, 3) == pack(rows)


@pytest.mark.parametrize("damaged", [b"", b"EVC1", b"EVC9\0\0\0\0", b"EVC1\2\0\0\0" + bytes(48)])
async def test_a_damaged_chunk_is_refused(
    damaged: bytes, store: CandleStore, bucket: MemoryBucket
) -> None:
    await store.append(BTC, M15, candles("2026-11-20", 3))
    await bucket.put("BTC_USDT.15m.2026-11", damaged)
    with pytest.raises(CandlesRefused):
        await store.read(BTC, M15)


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.integers(0, 400), max_size=20), max_size=6),
    st.integers(0, 450),
    st.integers(0, 400),
    st.integers(0, 400),
)
async def test_the_store_is_a_sorted_set_of_candles(
    appends: list[list[int]], tail: int, since: int, until: int
) -> None:
    """Days over two years, in any order and with repeats, against a plain set."""
    store = CandleStore(MemoryBucket())
    rows = candles("2026-03-01", 401, Timeframe.D1)
    model: set[int] = set()
    for numbers in appends:
        appended = await store.append(BTC, Timeframe.D1, [rows[n] for n in numbers])
        assert appended.added == len(set(numbers) - model)
        model |= set(numbers)
    expected = [rows[n] for n in sorted(model)]
    assert await store.read(BTC, Timeframe.D1) == pack(expected)
    assert await store.tail(BTC, Timeframe.D1, tail) == pack(expected[-tail:] if tail else [])
    between = await store.read(
        BTC, Timeframe.D1, since_ms=rows[since].at_ms, until_ms=rows[until].at_ms
    )
    assert between == pack([rows[n] for n in sorted(model) if since <= n < until])
