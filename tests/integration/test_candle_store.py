"""The candle store on a real JetStream bucket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from evertrain.candles import update
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.kv import Bucket
from shared.bus.rpc import Endpoint, serve
from shared.contracts import subjects
from shared.contracts.errors import Unavailable
from shared.contracts.records import CandleSummary
from shared.contracts.requests import CandlesRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle, pack
from shared.market.store import Appended, CandleStore
from shared.runtime.tasks import alongside
from tests.contract.bucket_suite import BucketSuite
from tests.support.servers import NatsServer

AT = 1_795_132_800_000  # 2026-11-20 00:00 UTC
M15 = Timeframe.M15
BTC = Symbol("BTC/USDT")
THYAO = Symbol("THYAO.IS")


def candles(start: int, count: int) -> list[Candle]:
    numbers = range(start, start + count)
    return [Candle(AT + n * M15.ms, 1.0, 2.0, 0.5, 1.5, float(n)) for n in numbers]


@pytest.fixture
def bucket(connection: Connection) -> Bucket:
    return Bucket(connection, subjects.CANDLES)


@pytest.fixture
def store(bucket: Bucket) -> CandleStore:
    return CandleStore(bucket)


@pytest.fixture
async def other_store(nats_url: str, connection: Connection) -> AsyncIterator[CandleStore]:
    """The same store as another process sees it."""
    async with connected(NatsOptions(servers=(nats_url,)), name="other") as opened:
        yield CandleStore(Bucket(opened, subjects.CANDLES))


class TestRealBucket(BucketSuite):
    """The fake passes the same suite in the unit tests."""


async def test_another_process_reads_what_was_appended(
    store: CandleStore, other_store: CandleStore
) -> None:
    rows = candles(0, 2000)
    await store.append(BTC, M15, rows)
    await store.append(THYAO, M15, rows[:3])
    assert await other_store.read(BTC, M15) == pack(rows)
    assert await other_store.tail(BTC, M15, 1500) == pack(rows[-1500:])
    extent = await other_store.extent(BTC, M15)
    assert extent is not None
    assert extent.last == rows[-1].at_ms
    summaries = await other_store.summaries(now_ms=rows[-1].at_ms)
    assert [(s.symbol, s.rows, s.gaps) for s in summaries] == [(BTC, 2000, 0), (THYAO, 3, 0)]


async def test_the_largest_chunk_is_accepted_by_the_server(store: CandleStore) -> None:
    month = candles(11 * 96, 31 * 96)
    appended = await store.append(BTC, M15, month)
    assert appended.added == len(month)
    assert await store.read(BTC, M15) == pack(month)


async def test_concurrent_writers_lose_nothing_and_count_every_candle_once(
    store: CandleStore, other_store: CandleStore
) -> None:
    rows = candles(0, 60)

    async def write(into: CandleStore, start: int) -> list[Appended]:
        starts = range(start, 60, 10)
        return [await into.append(BTC, M15, rows[first : first + 15]) for first in starts]

    async with asyncio.TaskGroup() as group:
        writers = [
            group.create_task(write(into, start))
            for start in (0, 5)
            for into in (store, other_store)
        ]
    done = [appended for writer in writers for appended in writer.result()]
    assert await store.read(BTC, M15) == pack(rows)
    assert sum(appended.added for appended in done) == len(rows)
    assert all(appended.refused == [] for appended in done)


async def test_acknowledged_candles_survive_a_killed_server(
    store: CandleStore, nats_server: NatsServer
) -> None:
    rows = candles(0, 200)
    await store.append(BTC, M15, rows)
    await asyncio.to_thread(nats_server.kill)
    await asyncio.to_thread(nats_server.start)
    async with connected(NatsOptions(servers=(nats_server.url,)), name="later") as opened:
        later = CandleStore(Bucket(opened, subjects.CANDLES))
        assert await later.read(BTC, M15) == pack(rows)
        assert (await later.append(BTC, M15, rows)).added == 0


async def test_an_update_by_hand_is_a_tick_for_whichever_scheduler_is_free(
    connection: Connection,
) -> None:
    async def candles(question: CandlesRequest) -> list[CandleSummary]:
        return []

    with pytest.raises(Unavailable):
        await update(connection)
    endpoint = Endpoint(name="candles", request=CandlesRequest, handler=candles)
    stop = asyncio.Event()
    async with alongside(
        serve(connection, "scheduler", "0.1.0", (endpoint,), stop), name="scheduler"
    ):
        async with asyncio.timeout(10):
            while True:
                with suppress(Unavailable):
                    await update(connection)
                    break
                await asyncio.sleep(0.01)
    tick = await connection.js.get_last_msg(subjects.CLOCK, subjects.tick("candles"))
    assert not tick.data
