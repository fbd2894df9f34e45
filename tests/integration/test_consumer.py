import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from shared.bus import topology
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.consumer import Delivery, Work, consume
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.errors import MalformedMessage, Transient, Unavailable
from shared.contracts.events import RequestRefused
from shared.contracts.terms import Mode
from shared.runtime.tasks import alongside, cancelled
from tests.support.servers import NatsServer, crash_and_restart

WITHIN_S = 15.0
SUBJECT = subjects.train(Mode.FULL)


class Seen:
    """A handler that remembers what it was given and then does what it was told to."""

    def __init__(self, *outcomes: Callable[[], Awaitable[None]]) -> None:
        self.deliveries: list[Delivery] = []
        self._outcomes = list(outcomes)
        self._arrived = asyncio.Condition()

    async def __call__(self, delivery: Delivery) -> None:
        async with self._arrived:
            self.deliveries.append(delivery)
            self._arrived.notify_all()
        if self._outcomes:
            await self._outcomes.pop(0)()

    async def count(self, number: int) -> None:
        async with asyncio.timeout(WITHIN_S), self._arrived:
            await self._arrived.wait_for(lambda: len(self.deliveries) >= number)

    @property
    def payloads(self) -> list[bytes]:
        return [delivery.data for delivery in self.deliveries]


def work(handler: Callable[[Delivery], Awaitable[None]]) -> Work:
    return Work(
        stream=subjects.REQUESTS,
        durable="tested",
        filters=(SUBJECT,),
        handler=handler,
        ack_wait=1.0,
        retry_after=0.2,
    )


def raising(error: Exception) -> Callable[[], Awaitable[None]]:
    async def outcome() -> None:
        raise error

    return outcome


def lasting(seconds: float) -> Callable[[], Awaitable[None]]:
    return lambda: asyncio.sleep(seconds)


async def put(publisher: Publisher, *payloads: bytes) -> None:
    for payload in payloads:
        await publisher.publish(SUBJECT, payload, message_id=payload.decode())


async def queued(connection: Connection) -> int:
    return (await connection.js.stream_info(subjects.REQUESTS)).state.messages


async def emptied(connection: Connection) -> None:
    """An acknowledgement is not answered, so the queue is empty a moment after the handler."""
    async with asyncio.timeout(WITHIN_S):
        while await queued(connection):  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)


def consuming(connection: Connection, job: Work) -> AbstractAsyncContextManager[None]:
    """Ended by cancelling it: stopping would wait for the end of a fetch."""
    return alongside(
        consume(connection, Publisher(connection), job, asyncio.Event()), name="consumer"
    )


async def test_a_message_is_acknowledged_only_after_its_handler_returned(
    connection: Connection, publisher: Publisher
) -> None:
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    seen = Seen(wait)
    await put(publisher, b"a")
    async with consuming(connection, work(seen)):
        await seen.count(1)
        assert await queued(connection) == 1
        release.set()
        await emptied(connection)
    assert seen.payloads == [b"a"]


async def test_a_delivery_says_where_it_stands_in_the_stream(
    connection: Connection, publisher: Publisher
) -> None:
    await put(publisher, b"a", b"b")
    seen = Seen(raising(Transient("not yet")))
    async with consuming(connection, work(seen)):
        await seen.count(3)
        await emptied(connection)
    again, other = sorted(
        (d for d in seen.deliveries if (d.data, d.attempt) != (b"a", 1)), key=lambda d: d.sequence
    )
    first = seen.deliveries[0]
    assert (first.subject, first.attempt, again.attempt, other.attempt) == (SUBJECT, 1, 2, 1)
    assert (first.sequence, first.stored_at) == (again.sequence, again.stored_at)
    assert other.sequence > first.sequence
    assert first.stored_at.tzinfo is not None


async def test_what_fails_for_now_comes_again_after_a_growing_delay(
    connection: Connection, publisher: Publisher
) -> None:
    at: list[float] = []

    async def not_yet() -> None:
        at.append(asyncio.get_running_loop().time())
        raise Unavailable("not yet")

    await put(publisher, b"a")
    seen = Seen(not_yet, not_yet, not_yet)
    async with consuming(connection, work(seen)):
        await seen.count(4)
        await emptied(connection)
    assert 0.15 < at[1] - at[0] < 0.4
    assert 0.35 < at[2] - at[1] < 0.8
    assert [delivery.attempt for delivery in seen.deliveries] == [1, 2, 3, 4]


async def test_what_fails_for_ever_is_parked_with_its_reason_and_told(
    connection: Connection, publisher: Publisher
) -> None:
    events = await connection.js.subscribe(subjects.ALL_EVENTS)
    await put(publisher, b"{broken", b"sound")
    seen = Seen(raising(MalformedMessage("not JSON:\n \u201cbroken\u201d")))
    async with consuming(connection, work(seen)):
        await seen.count(2)
        await emptied(connection)
    parked = await connection.js.get_last_msg(subjects.DEAD, subjects.dead(subjects.REQUESTS))
    assert parked.data == b"{broken"
    assert parked.headers is not None
    assert parked.headers["Evertrain-Subject"] == SUBJECT
    assert parked.headers["Evertrain-Code"] == "malformed_message"
    assert parked.headers["Evertrain-Reason"] == r"not JSON: \u201cbroken\u201d"
    event = codec.decode_event((await events.next_msg(timeout=WITHIN_S)).data)
    assert isinstance(event, RequestRefused)
    assert (event.subject, event.error.code) == (SUBJECT, "malformed_message")
    assert seen.payloads == [b"{broken", b"sound"]


async def test_a_poisonous_message_is_parked_without_being_handled_again(
    connection: Connection, publisher: Publisher
) -> None:
    await put(publisher, b"poison")
    seen = Seen(*[raising(Transient("again"))] * 5)
    job = replace(work(seen), most_deliveries=2, retry_after=0.01)
    async with consuming(connection, job):
        await emptied(connection)
    assert len(seen.deliveries) == 2
    parked = await connection.js.get_last_msg(subjects.DEAD, subjects.dead(subjects.REQUESTS))
    assert parked.headers is not None
    assert parked.headers["Evertrain-Code"] == "gave_up"


async def test_a_long_handler_keeps_its_message(
    connection: Connection, publisher: Publisher
) -> None:
    await put(publisher, b"long")
    seen = Seen(lasting(2.5))
    async with consuming(connection, replace(work(seen), at_once=2)):
        await seen.count(1)
        await emptied(connection)
    assert len(seen.deliveries) == 1


async def test_the_message_of_a_process_that_died_goes_to_another(
    connection: Connection, publisher: Publisher, nats_url: str
) -> None:
    await put(publisher, b"a")
    lost, found = Seen(lasting(60)), Seen()
    async with connected(NatsOptions(servers=(nats_url,)), name="dies") as doomed:
        stop = asyncio.Event()
        dying = asyncio.create_task(consume(doomed, Publisher(doomed), work(lost), stop))
        await lost.count(1)
        await cancelled(dying)
    async with consuming(connection, work(found)):
        await found.count(1)
        await emptied(connection)
    assert found.deliveries[0].attempt == 2


async def test_stopping_finishes_what_is_in_hand_and_leaves_the_rest(
    connection: Connection, publisher: Publisher
) -> None:
    await put(publisher, b"in hand", b"next")
    finished = asyncio.Event()

    async def finish() -> None:
        await asyncio.sleep(0.5)
        finished.set()

    seen, stop = Seen(finish), asyncio.Event()
    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        group.create_task(consume(connection, publisher, work(seen), stop))
        await seen.count(1)
        stop.set()
    assert finished.is_set()
    assert seen.payloads == [b"in hand"]
    await asyncio.sleep(0.05)
    info = await connection.js.consumer_info(subjects.REQUESTS, "tested")
    assert (info.num_pending, info.num_ack_pending) == (1, 0)


async def test_a_bug_ends_the_consumer_and_the_message_survives(
    connection: Connection, publisher: Publisher
) -> None:
    await put(publisher, b"a")
    with pytest.raises(ExceptionGroup) as ended:
        async with asyncio.timeout(WITHIN_S):
            await consume(
                connection, publisher, work(Seen(raising(ZeroDivisionError()))), asyncio.Event()
            )
    assert ended.group_contains(ZeroDivisionError)
    assert await queued(connection) == 1


async def test_a_process_takes_no_more_than_it_can_do_at_once(
    connection: Connection, publisher: Publisher
) -> None:
    await put(publisher, *(f"{n}".encode() for n in range(6)))
    running, most = 0, 0

    async def handle(_: Delivery) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1

    async with consuming(connection, replace(work(handle), at_once=2)):
        await emptied(connection)
    assert most == 2


async def test_all_processes_together_have_no_more_in_flight_than_allowed(
    connection: Connection, publisher: Publisher, nats_url: str
) -> None:
    await put(publisher, *(f"{n}".encode() for n in range(4)))
    running, most = 0, 0

    async def handle(_: Delivery) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1

    job = replace(work(handle), at_once=2, in_flight=1)
    async with (
        connected(NatsOptions(servers=(nats_url,)), name="other") as other,
        consuming(connection, job),
        consuming(other, job),
    ):
        await emptied(connection)
    assert most == 1


async def test_work_goes_on_after_a_restart_of_the_server_and_nothing_is_hoarded(
    connection: Connection, publisher: Publisher, nats_server: NatsServer
) -> None:
    """Every pull that was asked for while NATS was away would be answered with a message."""
    await put(publisher, *(f"{n}".encode() for n in range(8)))
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    seen = Seen()
    quiet = replace(work(seen), filters=(subjects.train(Mode.QUICK),), durable="quiet")
    async with consuming(connection, quiet):
        await asyncio.sleep(0.2)
        nats_server.kill()
        await asyncio.sleep(4)
        nats_server.start()
        for number in range(5):
            await publisher.publish(
                subjects.train(Mode.QUICK), b"%d" % number, message_id=f"quick {number}"
            )
            seen._outcomes.append(wait)
        await seen.count(1)
        await asyncio.sleep(0.3)
        info = await connection.js.consumer_info(subjects.REQUESTS, "quiet")
        assert info.num_ack_pending is not None
        assert info.num_ack_pending <= 2  # the one in hand, and the fetch that the crash cut short
        release.set()
        await seen.count(5)


async def test_a_handler_that_works_through_a_restart_keeps_its_message(
    connection: Connection, publisher: Publisher, nats_server: NatsServer
) -> None:
    await put(publisher, b"a")
    seen = Seen(lasting(2.0))
    async with consuming(connection, replace(work(seen), ack_wait=2.0)):
        await seen.count(1)
        await asyncio.sleep(0.5)  # until the server has written down that it delivered
        await crash_and_restart(nats_server, connection)
        await emptied(connection)
    assert len(seen.deliveries) == 1


async def test_a_consumer_that_was_deleted_is_made_again(
    connection: Connection, publisher: Publisher
) -> None:
    seen = Seen()
    async with consuming(connection, work(seen)):
        await put(publisher, b"a")
        await seen.count(1)
        await emptied(connection)
        await connection.js.delete_consumer(subjects.REQUESTS, "tested")
        await put(publisher, b"b")
        await seen.count(2)
        await emptied(connection)
    assert seen.payloads == [b"a", b"b"]


async def test_stopping_does_not_wait_for_a_server_that_is_away(
    connection: Connection, publisher: Publisher, nats_server: NatsServer
) -> None:
    nats_server.kill()
    await asyncio.sleep(0.1)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, stop.set)
    async with asyncio.timeout(3):
        await consume(connection, publisher, work(Seen()), stop)


async def test_a_job_is_queued_once_per_symbol_until_it_is_done(
    connection: Connection, publisher: Publisher
) -> None:
    await topology.ensure(connection)
    seen = Seen()
    await publisher.publish("evertrain.job.BTC_USDT", b"1", message_id="1")
    jobs = replace(
        work(seen), stream=subjects.JOBS, durable="workers", filters=("evertrain.job.*",)
    )
    async with consuming(connection, jobs):
        await seen.count(1)
        await asyncio.sleep(0.05)
        await publisher.publish("evertrain.job.BTC_USDT", b"2", message_id="2")
        await seen.count(2)


async def test_a_message_in_hand_goes_to_another_process_at_once_when_this_one_ends(
    connection: Connection, publisher: Publisher
) -> None:
    ending, other = Seen(lasting(60)), Seen()
    await put(publisher, b"a")
    async with consuming(connection, replace(work(ending), ack_wait=60)):
        await ending.count(1)
    async with asyncio.timeout(2), consuming(connection, replace(work(other), ack_wait=60)):
        await other.count(1)
    assert other.payloads == [b"a"]
