"""The paper ledger on a real nats-server."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import nats.errors
import pytest

from services.predictor.adapters.ledger import KEPT, KvLedger
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.trading import Exit, Outcome, Signal
from tests.support.signals import BTC, CANDLE_AT, M15, signal

NOW = CANDLE_AT + timedelta(hours=1)


@pytest.fixture
def ledger(connection: Connection, publisher: Publisher) -> KvLedger:
    return KvLedger(connection, publisher, clock=lambda: NOW)


@pytest.fixture
def bucket(connection: Connection) -> Bucket:
    return Bucket(connection, subjects.SIGNALS)


def ended(how: Exit = Exit.TAKE_PROFIT, one: Signal | None = None) -> Signal:
    return replace(one or signal(), outcome=Outcome(exit=how, exit_at=NOW))


async def told(connection: Connection) -> list[str]:
    """The ids of all events of signals that have ended."""
    found: list[str] = []
    subscription = await connection.js.subscribe("evertrain.event.signal.>", ordered_consumer=True)
    try:
        while True:
            message = await subscription.next_msg(timeout=0.2)
            found.append(codec.decode_event(message.data).id)
    except nats.errors.TimeoutError:
        return found
    finally:
        await subscription.unsubscribe()


async def the_server_forgets_repeats(connection: Connection) -> None:
    """As if ten minutes had passed: the same message id is then another message."""
    config = (await connection.js.stream_info(subjects.EVENTS)).config
    await connection.js.update_stream(config.evolve(duplicate_window=0.1))
    await asyncio.sleep(0.2)


async def test_what_is_open_is_found_until_it_is_released(ledger: KvLedger, bucket: Bucket) -> None:
    await bucket.create(subjects.open_signal(BTC), codec.encode(signal()))
    opened = await ledger.opened(BTC)
    assert opened is not None
    assert opened.signal == signal()
    await ledger.release(opened)
    assert await ledger.opened(BTC) is None


async def test_to_release_what_has_gone_does_nothing_to_what_came_since(
    ledger: KvLedger, bucket: Bucket
) -> None:
    await bucket.create(subjects.open_signal(BTC), codec.encode(signal()))
    opened = await ledger.opened(BTC)
    assert opened is not None
    await ledger.release(opened)
    await ledger.release(opened)
    later = replace(signal(), id="later")
    await bucket.create(subjects.open_signal(BTC), codec.encode(later))
    await ledger.release(opened)
    found = await ledger.opened(BTC)
    assert found is not None
    assert found.signal == later


async def test_the_first_outcome_that_is_kept_stands(ledger: KvLedger) -> None:
    assert await ledger.keep(ended(Exit.STOP_LOSS)) == ended(Exit.STOP_LOSS)
    assert await ledger.keep(ended(Exit.EXPIRY)) == ended(Exit.STOP_LOSS)


async def test_what_is_kept_has_its_time(ledger: KvLedger, connection: Connection) -> None:
    await ledger.keep(ended())
    stream = Bucket(connection, subjects.SIGNALS).stream
    message = await connection.js.get_last_msg(
        stream, f"$KV.{subjects.SIGNALS}.{subjects.closed_signal(signal().id)}"
    )
    assert message.headers is not None
    assert message.headers["Nats-TTL"] == f"{KEPT.days * 86_400}s"


async def test_an_ending_is_told_once_however_long_ago(
    ledger: KvLedger, connection: Connection
) -> None:
    await ledger.tell(ended())
    await the_server_forgets_repeats(connection)
    await ledger.tell(ended())
    assert await told(connection) == [f"signal.closed:{signal().id}"]


async def test_the_next_ending_of_the_symbol_is_told_as_well(
    ledger: KvLedger, connection: Connection
) -> None:
    later = replace(signal(), id="later", opened_at=CANDLE_AT + 5 * M15)
    await ledger.tell(ended())
    await ledger.tell(ended(one=later))
    await ledger.tell(ended(Exit.MISSED, replace(signal(), id="last")))
    assert await told(connection) == [
        f"signal.closed:{signal().id}",
        "signal.closed:later",
        "signal.expired:last",
    ]
