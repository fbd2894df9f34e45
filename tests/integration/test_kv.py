import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.kv import Bucket, CaughtUp, Change, Entry, Removed
from shared.contracts import subjects
from shared.contracts.errors import Conflict, Unavailable
from shared.runtime.tasks import cancelled
from tests.support.servers import NatsServer, crash_and_restart

WITHIN_S = 10.0


@pytest.fixture
def bucket(connection: Connection) -> Bucket:
    return Bucket(connection, subjects.LOCKS)


class Watcher:
    """What a watch has told so far."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._grew = asyncio.Condition()

    async def follow(self, bucket: Bucket, pattern: str = ">") -> None:
        async with contextlib.aclosing(bucket.watch(pattern)) as changes:
            async for change in changes:
                async with self._grew:
                    self.changes.append(change)
                    self._grew.notify_all()

    async def until_caught_up(self, times: int = 1) -> None:
        await self._until(lambda: sum(isinstance(c, CaughtUp) for c in self.changes) >= times)

    async def until(self, change: Change) -> None:
        await self._until(lambda: change in self.changes)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S), self._grew:
            await self._grew.wait_for(condition)


@asynccontextmanager
async def watching(bucket: Bucket, pattern: str = ">") -> AsyncIterator[Watcher]:
    watcher = Watcher()
    task = asyncio.create_task(watcher.follow(bucket, pattern))
    try:
        yield watcher
    finally:
        await cancelled(task)


async def expired(bucket: Bucket, key: str) -> None:
    async with asyncio.timeout(WITHIN_S):
        while await bucket.get(key) is not None:  # noqa: ASYNC110 - nothing tells us of it
            await asyncio.sleep(0.02)


async def test_a_key_expires_and_can_be_created_again_at_once(bucket: Bucket) -> None:
    await bucket.create("k", b"one", ttl=1)
    with pytest.raises(Conflict):
        await bucket.create("k", b"two")
    await expired(bucket, "k")
    assert await bucket.entries() == []
    revision = await bucket.create("k", b"two")
    assert await bucket.get("k") == Entry("k", b"two", revision)


async def test_an_update_without_a_ttl_makes_a_key_permanent(bucket: Bucket) -> None:
    first = await bucket.create("k", b"one", ttl=1)
    second = await bucket.update("k", b"two", first)
    await asyncio.sleep(1.3)
    assert await bucket.get("k") == Entry("k", b"two", second)


async def test_a_renewed_key_lives_on(bucket: Bucket) -> None:
    last = await bucket.create("k", b"one", ttl=1)
    for _ in range(4):
        await asyncio.sleep(0.4)
        last = await bucket.update("k", b"one", last, ttl=1)
    assert await bucket.get("k") == Entry("k", b"one", last)


async def test_an_expired_key_cannot_be_updated_by_its_old_revision(bucket: Bucket) -> None:
    revision = await bucket.create("k", b"one", ttl=1)
    await expired(bucket, "k")
    with pytest.raises(Conflict):
        await bucket.update("k", b"two", revision)
    with pytest.raises(Conflict):
        await bucket.delete("k", revision)


async def test_a_delete_names_the_revision_it_removes(bucket: Bucket) -> None:
    first = await bucket.create("k", b"one")
    second = await bucket.update("k", b"two", first)
    with pytest.raises(Conflict):
        await bucket.delete("k", first)
    await bucket.delete("k", second)
    assert await bucket.get("k") is None


async def test_of_many_who_create_one_wins(bucket: Bucket) -> None:
    won = []

    async def create(number: int) -> None:
        with contextlib.suppress(Conflict):
            won.append(await bucket.create("k", b"%d" % number))

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(create(number))
    assert len(won) == 1


async def test_an_empty_value_is_a_value(bucket: Bucket) -> None:
    revision = await bucket.create("k", b"")
    assert await bucket.get("k") == Entry("k", b"", revision)
    assert await bucket.entries() == [Entry("k", b"", revision)]


async def test_a_key_survives_a_crash_of_the_server(
    bucket: Bucket, connection: Connection, nats_server: NatsServer
) -> None:
    revision = await bucket.create("k", b"one")
    await crash_and_restart(nats_server, connection)
    assert await bucket.get("k") == Entry("k", b"one", revision)


async def test_a_bucket_that_is_not_there_is_not_an_empty_one(connection: Connection) -> None:
    nowhere = Bucket(connection, "nowhere")
    with pytest.raises(Unavailable, match="nowhere"):
        await nowhere.get("k")
    with pytest.raises(Unavailable):
        await nowhere.create("k", b"")
    with pytest.raises(Unavailable):
        await nowhere.entries()
    with pytest.raises(Unavailable):
        await nowhere.epoch()


@pytest.mark.parametrize("verb", ["get", "put", "entries"])
async def test_a_server_that_does_not_answer_is_unavailable_in_the_end(
    bucket: Bucket, nats_server: NatsServer, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.kv._TIMEOUT_S", 0.3)
    nats_server.freeze()
    with pytest.raises(Unavailable):
        async with asyncio.timeout(WITHIN_S):
            match verb:
                case "get":
                    await bucket.get("k")
                case "put":
                    await bucket.put("k", b"")
                case _:
                    await bucket.entries()
    nats_server.thaw()


async def test_an_epoch_is_that_of_one_bucket_and_lasts(
    connection: Connection, nats_server: NatsServer
) -> None:
    bucket = Bucket(connection, subjects.LOCKS)
    before = await bucket.epoch()
    await crash_and_restart(nats_server, connection)
    assert await bucket.epoch() == before
    await connection.js.delete_key_value(subjects.LOCKS)
    await connection.js.create_key_value(bucket=subjects.LOCKS)
    assert await bucket.epoch() != before


async def test_a_watch_of_an_empty_bucket_catches_up_at_once(bucket: Bucket) -> None:
    async with watching(bucket) as watcher:
        await watcher.until_caught_up()
    assert watcher.changes == [CaughtUp()]


async def test_a_watch_tells_what_is_there_then_that_it_caught_up_then_every_change(
    bucket: Bucket,
) -> None:
    a = await bucket.create("a", b"1")
    b = await bucket.create("b", b"2")
    async with watching(bucket) as watcher:
        await watcher.until_caught_up()
        changed = await bucket.update("a", b"3", a)
        await bucket.delete("b")
        await watcher.until(Removed("b", changed + 1))
    assert watcher.changes == [
        Entry("a", b"1", a),
        Entry("b", b"2", b),
        CaughtUp(),
        Entry("a", b"3", changed),
        Removed("b", changed + 1),
    ]


async def test_a_watch_tells_of_an_expiry(bucket: Bucket) -> None:
    async with watching(bucket) as watcher:
        revision = await bucket.create("k", b"1", ttl=1)
        await watcher.until(Removed("k", revision + 1))


async def test_a_watch_follows_its_pattern_only(bucket: Bucket) -> None:
    async with watching(bucket, "job.*.BTC_USDT") as watcher:
        await bucket.put("job.1.THYAO=2EIS", b"")
        await bucket.put("run.1", b"")
        wanted = await bucket.put("job.2.BTC_USDT", b"x")
        await watcher.until(Entry("job.2.BTC_USDT", b"x", wanted))
    assert [c for c in watcher.changes if isinstance(c, Entry)] == [
        Entry("job.2.BTC_USDT", b"x", wanted)
    ]


async def test_a_watch_survives_crashes_of_the_server_and_misses_nothing(
    bucket: Bucket, connection: Connection, nats_server: NatsServer
) -> None:
    async with watching(bucket) as watcher:
        await watcher.until_caught_up()
        written = []
        for crash in range(3):
            for number in range(5):
                revision = await bucket.put(f"{crash}.{number}", b"before")
                written.append(Entry(f"{crash}.{number}", b"before", revision))
            await crash_and_restart(nats_server, connection)
            revision = await bucket.put(f"{crash}.after", b"after")
            written.append(Entry(f"{crash}.after", b"after", revision))
        for entry in written:
            await watcher.until(entry)
        await watcher.until_caught_up(times=4)


async def test_a_watch_sees_at_once_what_was_written_while_it_was_cut_off(
    bucket: Bucket, connection: Connection, nats_server: NatsServer
) -> None:
    async with watching(bucket) as watcher:
        await watcher.until_caught_up()
        loop = asyncio.get_running_loop()
        await crash_and_restart(nats_server, connection)
        back = loop.time()
        revision = await bucket.put("k", b"x")
        await watcher.until(Entry("k", b"x", revision))
        assert loop.time() - back < 1


async def test_a_watch_that_is_left_leaves_no_task_and_no_subscription(
    bucket: Bucket, connection: Connection
) -> None:
    await bucket.put("k", b"x")
    client = connection.client
    tasks, subscriptions = asyncio.all_tasks(), set(client._subs)
    for _ in range(3):
        async with contextlib.aclosing(bucket.watch()) as changes:
            async for _ in changes:
                break
        await bucket.entries()
        async with watching(bucket) as watcher:
            await watcher.until_caught_up()
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == tasks
    assert set(client._subs) == subscriptions
    assert not connection._listeners


async def test_a_watch_of_a_bucket_that_appears_later_catches_up_then(
    connection: Connection,
) -> None:
    async with watching(Bucket(connection, "later")) as watcher:
        await asyncio.sleep(0.1)
        assert watcher.changes == []
        await connection.js.create_key_value(bucket="later")
        await watcher.until_caught_up()


async def test_entries_name_a_key_once_however_often_it_is_written(
    connection: Connection, nats_url: str
) -> None:
    bucket = Bucket(connection, subjects.CONFIG)
    for number in range(200):
        await bucket.put(f"k{number}", b"old")

    async def rewrite() -> None:
        async with connected(NatsOptions(servers=(nats_url,)), name="writer") as other:
            for number in range(200):
                await Bucket(other, subjects.CONFIG).put(f"k{number}", b"new")

    writer = asyncio.create_task(rewrite())
    while not writer.done():
        keys = [entry.key for entry in await bucket.entries()]
        assert len(keys) == len(set(keys)) == 200
    await writer


async def test_a_bucket_with_history_gives_the_old_values_back_oldest_first(
    connection: Connection,
) -> None:
    models = Bucket(connection, subjects.MODELS)
    for value in (b"1", b"2", b"3"):
        await models.put("AAPL", value)
    await models.put("IBM", b"other")
    assert [entry.value for entry in await models.history("AAPL")] == [b"1", b"2", b"3"]
    assert await models.history("MSFT") == []


async def test_no_revision_is_lost_however_many_revise_at_once(connection: Connection) -> None:
    bucket = Bucket(connection, "evertrain_runs")
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(bucket.revise("k", lambda stored: (stored or b"") + b"x"))
    entry = await bucket.get("k")
    assert entry is not None
    assert entry.value == b"x" * 10


async def test_a_revision_that_changes_nothing_writes_nothing(connection: Connection) -> None:
    bucket = Bucket(connection, "evertrain_runs")
    revision = await bucket.put("k", b"one")
    assert await bucket.revise("k", lambda stored: stored or b"") == b"one"
    assert await bucket.get("k") == Entry("k", b"one", revision)
