import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise

import pytest

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.trail import Batch, Place, trail
from shared.contracts import subjects
from tests.support.servers import NatsServer

STREAM = f"KV_{subjects.SIGNALS}"


@pytest.fixture
def bucket(connection: Connection) -> Bucket:
    return Bucket(connection, subjects.SIGNALS)


@asynccontextmanager
async def following(
    connection: Connection, after: Place | None = None
) -> AsyncIterator[AsyncIterator[Batch]]:
    async with asyncio.timeout(30), aclosing(trail(connection, STREAM, after)) as batches:
        yield batches


async def read(batches: AsyncIterator[Batch]) -> list[Batch]:
    """Until nothing is left."""
    found = []
    async for batch in batches:
        found.append(batch)
        if not batch.behind:
            break
    return found


def values(found: list[Batch]) -> list[bytes]:
    return [item.data for batch in found for item in batch.items]


async def test_everything_comes_in_order_in_batches(connection: Connection, bucket: Bucket) -> None:
    for number in range(1200):
        await connection.js.publish(f"$KV.{bucket.name}.k{number}", b"%d" % number)
    async with following(connection) as batches:
        found = await read(batches)
    assert values(found) == [b"%d" % number for number in range(1200)]
    assert max(len(batch.items) for batch in found) == 500
    assert all(one.place.sequence < two.place.sequence for one, two in pairwise(found))


async def test_what_comes_later_is_told_when_it_comes(
    connection: Connection, bucket: Bucket
) -> None:
    async with following(connection) as batches:
        await read(batches)
        for value in (b"one", b"two"):
            await bucket.put("a", value)
            assert values([await anext(batches)]) == [value]


async def test_one_goes_on_behind_the_place_where_one_was(
    connection: Connection, bucket: Bucket
) -> None:
    await bucket.put("a", b"one")
    async with following(connection) as batches:
        place = (await read(batches))[-1].place
    await bucket.put("b", b"two")
    async with following(connection, place) as batches:
        (batch,) = await read(batches)
    assert values([batch]) == [b"two"]
    assert not batch.anew


async def test_who_has_everything_is_told_so(connection: Connection, bucket: Bucket) -> None:
    await bucket.put("a", b"one")
    async with following(connection) as batches:
        place = (await read(batches))[-1].place
    async with following(connection, place) as batches:
        assert await anext(batches) == Batch((), place, anew=False, behind=0)


async def test_a_key_that_is_gone_is_told(connection: Connection, bucket: Bucket) -> None:
    revision = await bucket.put("a", b"one")
    async with following(connection) as batches:
        await read(batches)
        await bucket.delete("a", revision)
        (item,) = (await anext(batches)).items
    assert item.removed
    assert item.subject.endswith(".a")


async def test_another_stream_in_its_place_is_read_from_its_beginning(
    connection: Connection, bucket: Bucket
) -> None:
    await bucket.put("a", b"one")
    for place in (Place("another", 1), Place((await bucket.epoch()), 99)):
        async with following(connection, place) as batches:
            found = await read(batches)
        assert found[0].anew
        assert values(found) == [b"one"]


async def test_a_restart_of_the_server_neither_repeats_nor_skips(
    connection: Connection, bucket: Bucket, nats_server: NatsServer
) -> None:
    await bucket.put("a", b"one")
    async with following(connection) as batches:
        found = await read(batches)
        back = asyncio.Event()
        with connection.on_reconnect(back.set):
            nats_server.kill()
            nats_server.start()
            await back.wait()
        await bucket.put("b", b"two")
        while len(values(found)) < 2:
            found.append(await anext(batches))
    assert values(found) == [b"one", b"two"]


async def test_a_reader_that_the_server_forgot_goes_on_where_it_was(
    connection: Connection, bucket: Bucket
) -> None:
    await bucket.put("a", b"one")
    async with following(connection) as batches:
        found = await read(batches)
        for consumer in await connection.js.consumers_info(STREAM):
            await connection.js.delete_consumer(STREAM, consumer.name)
        await bucket.put("b", b"two")
        while len(values(found)) < 2:
            found.append(await anext(batches))
    assert values(found) == [b"one", b"two"]
