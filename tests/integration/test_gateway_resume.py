"""Clients that come back after their gateway was ended, in whichever way, or to another one."""

import asyncio
import json
import signal
from contextlib import aclosing
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from services.gateway.adapters.events import EventsMissing, Fact, facts
from services.gateway.adapters.marks import KEY, Marks
from services.gateway.domain.numbering import EVERY, Mark
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.contracts import codec, subjects
from tests.support.gateways import Gateway, Market, gateway_on, start_gateway, wait_until_ready
from tests.support.resuming import Resuming
from tests.support.servers import NatsServer

ROUNDS = 1
EVENTS = 40 * ROUNDS


@pytest.fixture
async def market(connection: Connection) -> Market:
    market = Market(connection)
    await market.open()
    return market


@pytest.mark.parametrize(("ended_by", "count"), [(signal.SIGKILL, 200), (signal.SIGTERM, 50)])
async def test_whoever_comes_back_to_a_gateway_that_was_ended_hears_each_event_once(
    market: Market, nats_server: NatsServer, tmp_path: Path, ended_by: signal.Signals, count: int
) -> None:
    clients = [Resuming("training") for _ in range(count)]
    running = start_gateway(tmp_path, nats_server.url)
    try:
        await asyncio.to_thread(wait_until_ready, running)
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.listen(running, until=EVENTS))
            for client in clients:
                await client.subscribed.wait()
            for round_ in range(ROUNDS):
                running = await _end_amid_events(
                    market, running, round_, ended_by, nats_server, tmp_path
                )
    finally:
        running.process.kill()
        await asyncio.to_thread(running.process.communicate)
    for client in clients:
        assert client.numbers == list(range(1, EVENTS + 1))
        assert [data["done"] for _, data in client.events] == list(range(EVENTS))
        assert client.lost == 0


async def _end_amid_events(
    market: Market,
    running: Gateway,
    round_: int,
    ended_by: signal.Signals,
    nats_server: NatsServer,
    tmp_path: Path,
) -> Gateway:
    """40 events; in the midst of them the gateway ends, and another takes its port."""
    for done in range(40 * round_, 40 * round_ + 40):
        await market.progress("run-1", done)
        if done % 40 == 15:
            running.process.send_signal(ended_by)
            await asyncio.to_thread(running.process.communicate)
            running = start_gateway(tmp_path, nats_server.url, GATEWAY_PORT=str(running.port))
    await asyncio.to_thread(wait_until_ready, running)
    return running


async def test_every_gateway_gives_an_event_the_same_number(
    market: Market, nats_server: NatsServer, tmp_path: Path
) -> None:
    client = Resuming("training")
    async with gateway_on(tmp_path / "a", nats_server.url) as one:
        async with asyncio.TaskGroup() as group:
            group.create_task(client.listen(one, until=3))
            await client.subscribed.wait()
            for done in range(5):
                await market.progress("run-1", done)
        async with gateway_on(tmp_path / "b", nats_server.url) as other:
            await client.listen(other, until=5)
            await market.progress("run-1", 5)
            await client.listen(one, until=6)
    assert client.events == [
        (n + 1, {**data, "done": n}) for n, (_, data) in enumerate(client.events)
    ]
    assert (len(client.events), client.lost) == (6, 0)


async def test_a_gateway_keeps_a_mark_amid_the_events_and_counts_on_from_it(
    market: Market, connection: Connection, nats_server: NatsServer, tmp_path: Path
) -> None:
    client = Resuming("training")
    for until in (3, 4):
        async with gateway_on(tmp_path, nats_server.url) as gateway, asyncio.TaskGroup() as group:
            group.create_task(client.listen(gateway, until=until))
            if until == 4:
                await market.progress("run-1", 3)
                continue
            await client.subscribed.wait()
            await market.progress("run-1", 0)
            await _fill(connection, EVERY)
            for done in (1, 2):
                await market.progress("run-1", done)
    newest = (await Bucket(connection, subjects.MARKS).history(KEY))[-1]
    kept = codec.decode(newest.value, Mark)
    assert (kept.after, kept.counts) == (EVERY, {"training": 1})
    assert (client.numbers, client.codes, client.lost) == ([1, 2, 3, 4], [], 0)


async def _fill(connection: Connection, count: int) -> None:
    """So many events that are news for no channel."""
    for _ in range(count):
        await connection.client.publish("evertrain.event.strange", b"{}")
    await connection.client.flush()


async def test_what_the_stream_has_forgotten_is_not_called_recovered(
    market: Market, connection: Connection, nats_server: NatsServer, tmp_path: Path
) -> None:
    client = Resuming("training")
    async with gateway_on(tmp_path, nats_server.url) as gateway, asyncio.TaskGroup() as group:
        group.create_task(client.listen(gateway, until=2))
        await client.subscribed.wait()
        for done in range(4):
            await market.progress("run-1", done)
    await connection.js.purge_stream(subjects.EVENTS)
    async with (
        gateway_on(tmp_path, nats_server.url) as gateway,
        connect(gateway.socket_url) as socket,
    ):
        since = {"training": {"epoch": client.epoch, "seq": 2}}
        ask = {"op": "subscribe", "channels": ["training"], "since": since}
        await socket.send(json.dumps(ask))
        welcome, subscribed, snapshot = [json.loads(await socket.recv()) for _ in range(3)]
    assert welcome["epoch"] == subscribed["epoch"] != client.epoch
    assert (subscribed["recovered"], snapshot["type"]) == (False, "snapshot")


def marks(connection: Connection, epoch: str) -> Marks:
    return Marks(connection, new_epoch=lambda: epoch)


async def test_gateways_that_start_at_once_begin_one_epoch(connection: Connection) -> None:
    async with asyncio.TaskGroup() as group:
        begun = [group.create_task(marks(connection, f"e{n}").begin()) for n in range(8)]
    assert len({mark.result().epoch for mark in begun}) == 1


async def test_marks_move_on_and_never_back_and_only_in_their_epoch(connection: Connection) -> None:
    kept = marks(connection, "e1")
    first = await kept.begin()
    for after in (EVERY, 2 * EVERY, EVERY):
        await kept.keep(Mark(epoch="e1", stream=first.stream, after=after, counts={"training": 1}))
    await kept.keep(Mark(epoch="e0", stream=first.stream, after=9 * EVERY, counts={}))
    stored = await Bucket(connection, subjects.MARKS).history(KEY)
    assert [codec.decode(entry.value, Mark).after for entry in stored] == [0, EVERY, 2 * EVERY]


async def test_an_epoch_ends_once_however_many_gateways_miss_events(connection: Connection) -> None:
    assert (await marks(connection, "e1").begin()).epoch == "e1"
    await marks(connection, "e2").end("e1")
    await marks(connection, "e3").end("e1")
    assert (await marks(connection, "e4").begin()).epoch == "e2"


async def test_a_hole_in_the_stream_is_noticed(market: Market, connection: Connection) -> None:
    mark = await marks(connection, "e1").begin()
    for done in range(4):
        await market.progress("run-1", done)
    await connection.js.delete_msg(subjects.EVENTS, mark.after + 2)
    last = 0
    async with asyncio.timeout(10):
        with pytest.raises(EventsMissing):
            async for fact in facts(connection, mark):
                last = fact.seq if isinstance(fact, Fact) else last
    assert last == mark.after + 1


async def test_events_before_the_mark_say_how_things_stand_and_are_not_numbered_again(
    market: Market, connection: Connection
) -> None:
    await market.start_run("run-1")
    for done in range(4):
        await market.progress("run-1", done)
    mark = await marks(connection, "e1").begin()
    await market.start_run("run-2")
    told = []
    async with aclosing(facts(connection, mark)) as following:
        async for fact in following:
            if not isinstance(fact, Fact):
                break
            told.append((codec.decode_event(fact.data).type, fact.seq - mark.after, fact.old))
    assert told == [("run.progressed", 0, True), ("run.started", 1, False)]
