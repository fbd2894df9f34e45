import asyncio
import random
from datetime import UTC, datetime

import pytest

from shared.bus.connection import Connection
from shared.bus.publisher import Publisher, TooLarge
from shared.contracts import codec, subjects
from shared.contracts.errors import Conflict, TrainingFailed, Unavailable
from shared.contracts.events import JobFailed, JobSkipped
from shared.contracts.records import Problem
from shared.contracts.symbols import Symbol
from shared.runtime.clock import utc_now
from tests.support.servers import NatsServer

WITHIN_S = 20.0


async def stored(connection: Connection, stream: str) -> list[bytes]:
    """Every payload of a stream, in order."""
    info = await connection.js.stream_info(stream)
    subscription = await connection.js.subscribe(">", stream=stream, ordered_consumer=True)
    messages = [await subscription.next_msg(timeout=5) for _ in range(info.state.messages)]
    return [message.data for message in messages]


async def test_what_was_acknowledged_is_stored_once_however_often_the_server_is_killed(
    connection: Connection, publisher: Publisher, nats_server: NatsServer
) -> None:
    acknowledged: set[bytes] = set()
    dice = random.Random(7)

    async def publish(worker: int) -> None:
        for number in range(60):
            payload = f"{worker}.{number}".encode()
            subject = f"evertrain.event.tested.{worker}"
            await publisher.publish(subject, payload, message_id=payload.decode())
            acknowledged.add(payload)

    async def kill() -> None:
        for _ in range(4):
            await asyncio.sleep(dice.uniform(0.05, 0.2))
            nats_server.kill()
            nats_server.start()

    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        for worker in range(5):
            group.create_task(publish(worker))
        group.create_task(kill())
    found = await stored(connection, subjects.EVENTS)
    assert len(acknowledged) == 300
    assert sorted(found) == sorted(acknowledged)


async def test_an_event_goes_to_its_subject_under_its_own_id(
    connection: Connection, publisher: Publisher
) -> None:
    event = JobSkipped(
        id="job.skipped:r:BTC_USDT",
        at=datetime(2026, 11, 22, tzinfo=UTC),
        run_id="r",
        symbol=Symbol("BTC/USDT"),
        reason="nothing to do",
    )
    await publisher.emit(event)
    await publisher.emit(event)
    last = await connection.js.get_last_msg(subjects.EVENTS, subjects.event(event))
    assert codec.decode_event(last.data or b"") == event
    assert (await connection.js.stream_info(subjects.EVENTS)).state.messages == 1


async def test_the_same_id_is_the_same_message(publisher: Publisher) -> None:
    first = await publisher.publish("evertrain.event.x", b"1", message_id="1")
    assert await publisher.publish("evertrain.event.x", b"again", message_id="1") == first
    assert await publisher.publish("evertrain.event.x", b"2", message_id="2") == first + 1


async def test_a_second_job_for_a_symbol_is_a_conflict(publisher: Publisher) -> None:
    first = await publisher.publish("evertrain.job.BTC_USDT", b"1", message_id="1")
    with pytest.raises(Conflict):
        await publisher.publish("evertrain.job.BTC_USDT", b"2", message_id="2")
    await publisher.publish("evertrain.job.ETH_USDT", b"2", message_id="3")
    # A repeat of the first is no conflict: its acknowledgement may have been lost.
    assert await publisher.publish("evertrain.job.BTC_USDT", b"1", message_id="1") == first


async def test_a_server_that_stays_away_is_unavailable_in_the_end(
    publisher: Publisher, nats_server: NatsServer
) -> None:
    nats_server.kill()
    with pytest.raises(Unavailable):
        async with asyncio.timeout(WITHIN_S):
            await publisher.publish("evertrain.event.x", b"", message_id="1", give_up_after=0.5)


async def test_headers_given_along_are_kept_and_not_changed(
    connection: Connection, publisher: Publisher
) -> None:
    headers = {"X": "y"}
    await publisher.publish("evertrain.event.x", b"", message_id="1", headers=headers)
    assert headers == {"X": "y"}
    last = await connection.js.get_last_msg(subjects.EVENTS, "evertrain.event.x")
    assert last.headers is not None
    assert last.headers["X"] == "y"


async def test_what_will_never_fit_is_refused_at_once(publisher: Publisher) -> None:
    async with asyncio.timeout(1):
        with pytest.raises(TooLarge, match="100,000 bytes"):
            await publisher.publish("evertrain.event.x", b"x" * 100_000, message_id="large")


async def test_the_longest_reason_there_can_be_fits_into_an_event(
    publisher: Publisher, connection: Connection
) -> None:
    problem = Problem.of(TrainingFailed("\x00" * 1_000_000))
    symbol = Symbol("BTC/USDT")
    fact = JobFailed(id="1", at=utc_now(), run_id="full-1", symbol=symbol, error=problem)
    async with asyncio.timeout(1):
        await publisher.emit(fact)
    stored = await connection.js.get_last_msg(subjects.EVENTS, subjects.event(fact))
    assert codec.decode_event(stored.data or b"") == fact
