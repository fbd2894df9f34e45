"""A gateway as its users start it: one process, a real nats-server, real sockets."""

import asyncio
import json
import signal
import socket
import struct
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.gateway.adapters.colleagues import BusColleagues
from services.gateway.domain.problems import Refused
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.events import RunProgressed
from shared.contracts.records import LockHolder
from shared.contracts.requests import TrainRequest
from shared.contracts.terms import Mode, Source
from tests.support.gateways import (
    SYMBOLS,
    Gateway,
    Market,
    gateway_on,
    prediction,
    start_gateway,
    wait_until_ready,
)
from tests.support.servers import NatsServer

BTC = SYMBOLS[0]


@pytest.fixture
async def market(connection: Connection) -> Market:
    market = Market(connection)
    await market.open()
    return market


@pytest.fixture
async def gateway(
    market: Market, nats_server: NatsServer, tmp_path: Path
) -> AsyncIterator[Gateway]:
    async with gateway_on(tmp_path, nats_server.url) as running:
        yield running


async def get(gateway: Gateway, path: str, **headers: str) -> tuple[int, Any]:
    """Status and JSON of an answer."""

    def fetch() -> tuple[int, Any]:
        request = urllib.request.Request(gateway.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, json.load(exc)

    return await asyncio.to_thread(fetch)


async def subscribe(
    gateway: Gateway, *channels: str, since: dict[str, Any] | None = None
) -> ClientConnection:
    client = await connect(gateway.socket_url)
    await client.recv()
    await client.send(json.dumps({"op": "subscribe", "channels": channels, "since": since or {}}))
    return client


async def heard(client: ClientConnection, kind: str, count: int = 1) -> list[dict[str, Any]]:
    """The next `count` messages of a kind; the others are passed over."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(15):
        while len(found) < count:
            message = json.loads(await client.recv())
            if message["type"] == kind:
                found.append(message)
    return found


async def closed(client: ClientConnection) -> int | None:
    async with asyncio.timeout(10):
        try:
            while True:
                await client.recv()
        except ConnectionClosed:
            return client.close_code


async def until(gateway: Gateway, path: str, wanted: Any) -> Any:
    """Ask until the answer is as wanted."""
    async with asyncio.timeout(15):
        while True:
            _, answer = await get(gateway, path)
            if wanted(answer):
                return answer
            await asyncio.sleep(0.1)


async def test_a_prediction_that_is_written_reaches_readers_and_listeners(
    gateway: Gateway, market: Market
) -> None:
    client = await subscribe(gateway, "predictions:BTC/USDT", "predictions:*")
    assert len(await heard(client, "snapshot", 2)) == 2
    await market.predict(prediction(BTC, at=datetime.now(UTC), version="v2"))
    events = await heard(client, "event", 2)
    assert [event["channel"] for event in events] == ["predictions:BTC/USDT", "predictions:*"]
    assert {event["data"]["model_version"] for event in events} == {"v2"}
    _, answer = await get(gateway, "/api/v1/predictions/BTC_USDT")
    assert answer["model_version"] == "v2"
    await client.close()


async def test_nats_dies_and_comes_back_and_no_socket_or_event_is_lost(
    gateway: Gateway, market: Market, nats_server: NatsServer
) -> None:
    client = await subscribe(gateway, "training", "system")
    await heard(client, "snapshot", 2)
    for done in range(1, 4):
        await market.progress("run-1", done)
    nats_server.kill()
    stale = await until(gateway, "/api/v1/predictions/BTC_USDT", lambda answer: answer["stale"])
    assert stale["stale_reason"] == "NATS is out of reach"
    status, problem = await get(gateway, "/api/v1/train/jobs")
    assert (status, problem["code"]) == (503, "unavailable")
    nats_server.start()
    for done in range(4, 7):
        await market.progress("run-1", done)
    seen: list[tuple[int, int]] = []
    while len(seen) < 6:
        (event,) = await heard(client, "event")
        if event["channel"] == "training":
            seen.append((event["seq"], event["data"]["done"]))
    assert seen == [(n, n) for n in range(1, 7)]
    await until(gateway, "/api/v1/predictions/BTC_USDT", lambda answer: not answer["stale"])
    await client.close()


async def test_events_published_while_the_gateway_was_cut_off_arrive_in_order_and_once(
    gateway: Gateway, market: Market, nats_server: NatsServer
) -> None:
    client = await subscribe(gateway, "training")
    await heard(client, "snapshot")
    for round_ in range(3):
        async with asyncio.TaskGroup() as group:
            for done in range(round_ * 20, round_ * 20 + 20):
                group.create_task(market.progress("run-1", done))
            await asyncio.sleep(0.02)
            nats_server.kill()
            await asyncio.sleep(0.2)
            nats_server.start()
    events = await heard(client, "event", 60)
    assert [event["seq"] for event in events] == list(range(1, 61))
    assert sorted(event["data"]["done"] for event in events) == list(range(60))
    await client.close()


async def test_a_client_that_comes_back_gets_exactly_what_it_missed(
    gateway: Gateway, market: Market
) -> None:
    client = await subscribe(gateway, "training")
    (acknowledged,) = await heard(client, "subscribed")
    await market.progress("run-1", 1)
    (event,) = await heard(client, "event")
    client.transport.abort()
    for done in range(2, 6):
        await market.progress("run-1", done)
    position = {"epoch": acknowledged["epoch"], "seq": event["seq"]}
    again = await subscribe(gateway, "training", since={"training": position})
    assert (await heard(again, "subscribed"))[0]["recovered"] is True
    await market.progress("run-1", 6)
    assert [e["data"]["done"] for e in await heard(again, "event", 5)] == [2, 3, 4, 5, 6]
    await again.close()


async def test_on_sigterm_everyone_is_told_and_the_process_ends_well(gateway: Gateway) -> None:
    clients = [await subscribe(gateway, "system") for _ in range(20)]
    gateway.process.send_signal(signal.SIGTERM)
    async with asyncio.TaskGroup() as group:
        codes = [group.create_task(closed(client)) for client in clients]
    assert {code.result() for code in codes} == {1012}
    assert await asyncio.to_thread(gateway.process.wait, 5) == 0


async def test_a_client_that_never_reads_holds_nobody_up(gateway: Gateway, market: Market) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.sendall(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % gateway.port
        )
        text = b'{"op":"subscribe","channels":["training"]}'
        stalled.sendall(struct.pack("!BB4x", 0x81, 0x80 | len(text)) + text)
        quick = await subscribe(gateway, "training")
        await heard(quick, "snapshot")
        waits = []
        for done in range(50):
            asked = time.monotonic()
            await market.progress("run-1", done)
            await heard(quick, "event")
            waits.append(time.monotonic() - asked)
        assert sorted(waits)[25] < 0.2
        await quick.close()


async def test_nobody_is_let_in_by_another_name_or_from_another_page(gateway: Gateway) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}):
        with pytest.raises(InvalidStatus) as refused:
            await connect(gateway.socket_url, additional_headers=headers)
        assert refused.value.response.status_code == 403
    status, problem = await get(gateway, "/healthz", Host="evil.example")
    assert (status, problem["code"]) == (403, "not_allowed")
    own = await connect(gateway.socket_url, additional_headers={"Origin": gateway.url})
    await own.close()


@pytest.mark.parametrize(
    ("sent", "code"),
    [("nonsense", 4000), (b"\x00", 4000), ("x" * 70_000, 4009), ('{"op":"dance"}', 4000)],
)
async def test_a_client_that_says_nonsense_is_told_so(
    gateway: Gateway, sent: str | bytes, code: int
) -> None:
    client = await connect(gateway.socket_url)
    await client.send(sent)
    assert await closed(client) == code


async def test_what_is_not_http_is_refused_like_everything_else(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "malformed_message"
    writer.close()


async def test_keys_are_made_once_and_asked_for_everywhere(
    market: Market, nats_server: NatsServer, tmp_path: Path
) -> None:
    settings = {"GATEWAY_KEYS_FILE": "auto", "GATEWAY_HOST": "0.0.0.0"}
    gateway = start_gateway(tmp_path, nats_server.url, **settings)
    assert gateway.process.stdout is not None
    line = await asyncio.to_thread(gateway.process.stdout.readline)
    key = line.rpartition(" ")[2].strip()
    try:
        await asyncio.to_thread(wait_until_ready, gateway)
        assert (await get(gateway, "/api/v1/models"))[0] == 401
        assert (await get(gateway, "/api/v1/models", Authorization=f"Bearer {key}"))[0] == 200
        with pytest.raises(InvalidStatus) as refused:
            await connect(gateway.socket_url, additional_headers={"Authorization": "Bearer guess"})
        assert refused.value.response.status_code == 401
        client = await connect(gateway.socket_url)
        await client.send(json.dumps({"op": "subscribe", "channels": ["system"]}))
        assert await closed(client) == 4001
        client = await connect(gateway.socket_url)
        await client.send(json.dumps({"op": "auth", "token": key}))
        assert (await heard(client, "authenticated"))[0]["role"] == "admin"
        await client.close()
    finally:
        gateway.process.kill()
        output, _ = await asyncio.to_thread(gateway.process.communicate)
    assert key not in output.partition("#key=")[2].partition("\n")[2]
    async with gateway_on(tmp_path, nats_server.url, **settings) as again:
        again.process.terminate()
        assert "shown this once" not in (await asyncio.to_thread(again.process.communicate))[0]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"GATEWAY_HOST": "0.0.0.0"}, "GATEWAY_KEYS_FILE"),
        ({"GATEWAY_PORT": "99999"}, "GATEWAY_PORT"),
        ({"GATEWAY_KEYS_FILE": "/nowhere/keys"}, "GATEWAY_KEYS_FILE"),
        ({"ALLOWED_ORIGINS": "evil"}, "ALLOWED_ORIGINS"),
        ({"GATEWAY_HOST": "203.0.113.7", "GATEWAY_KEYS_FILE": "auto"}, "GATEWAY_HOST"),
    ],
)
async def test_a_setting_that_cannot_be_ends_the_start_with_one_line_that_names_it(
    nats_server: NatsServer, tmp_path: Path, settings: dict[str, str], named: str
) -> None:
    gateway = start_gateway(tmp_path, nats_server.url, **settings)
    output, _ = await asyncio.to_thread(gateway.process.communicate, timeout=20)
    (line,) = output.splitlines()
    assert gateway.process.returncode == 2
    assert named in line


async def test_a_port_in_use_ends_the_start_with_one_line(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        gateway = start_gateway(tmp_path, nats_server.url, GATEWAY_PORT=port)
        output, _ = await asyncio.to_thread(gateway.process.communicate, timeout=20)
    (line,) = output.splitlines()
    assert gateway.process.returncode == 2
    assert f"GATEWAY_PORT={port} is in use" in line


@pytest.fixture
async def colleagues(connection: Connection) -> BusColleagues:
    return BusColleagues(connection, Publisher(connection))


async def ask_for_training(
    colleagues: BusColleagues, *, force: bool = False, key: str | None = None
) -> str:
    return await colleagues.request_training(
        Mode.FULL, symbols=(BTC,), batch_size=3, force=force, idempotency_key=key
    )


async def queued(connection: Connection) -> int:
    return (await connection.js.stream_info(subjects.REQUESTS)).state.messages


async def test_a_trigger_becomes_a_request_that_trainers_read(
    colleagues: BusColleagues, connection: Connection
) -> None:
    run_id = await ask_for_training(colleagues)
    message = await connection.js.get_last_msg(subjects.REQUESTS, "evertrain.train.full")
    assert codec.decode(message.data or b"", TrainRequest) == TrainRequest(
        symbols=(BTC,), batch_size=3, source=Source.API, request_id=run_id
    )


async def test_the_same_idempotency_key_queues_one_run(
    colleagues: BusColleagues, connection: Connection
) -> None:
    first, second = [await ask_for_training(colleagues, key="once") for _ in range(2)]
    other = await ask_for_training(colleagues, key="twice")
    assert first == second != other
    assert await queued(connection) == 2


async def test_a_lock_that_is_held_refuses_a_trigger_unless_it_is_forced(
    colleagues: BusColleagues, connection: Connection
) -> None:
    holder = LockHolder(
        run_id="r0",
        source=Source.CRONTAB,
        mode=Mode.FULL,
        holder="trainer-1",
        started_at=datetime.now(UTC),
        token=4,
    )
    locks = Bucket(connection, subjects.LOCKS)
    await locks.put(subjects.TRAINING_LOCK, codec.encode(holder))
    with pytest.raises(Refused) as refused:
        await ask_for_training(colleagues)
    assert refused.value.holder == holder
    await ask_for_training(colleagues, force=True)
    own = await ask_for_training(colleagues, key="mine", force=True)
    await locks.put(subjects.TRAINING_LOCK, codec.encode(replace(holder, run_id=own)))
    assert await ask_for_training(colleagues, key="mine") == own
    assert await queued(connection) == 2


async def test_a_record_that_cannot_be_read_leaves_the_last_good_one(
    gateway: Gateway, market: Market, connection: Connection
) -> None:
    client = await subscribe(gateway, "predictions:BTC/USDT")
    await heard(client, "snapshot")
    bucket = Bucket(connection, subjects.PREDICTIONS)
    await bucket.put(BTC.token, b"nonsense")
    await bucket.put("not-a=symbol", b"{}")
    await bucket.delete("not-a=symbol")
    assert (await get(gateway, "/api/v1/predictions/BTC_USDT"))[1]["model_version"] == "v1"
    await market.predict(prediction(BTC, at=datetime.now(UTC), version="v2"))
    assert (await heard(client, "event"))[0]["data"]["model_version"] == "v2"
    await client.close()


async def test_an_event_of_a_later_version_is_passed_over(
    gateway: Gateway, market: Market, connection: Connection
) -> None:
    client = await subscribe(gateway, "training")
    await heard(client, "snapshot")
    await connection.js.publish("evertrain.event.run.dreamt", b'{"v":1,"type":"run.dreamt"}')
    await connection.js.publish("evertrain.event.run.broken", b"\xff")
    await market.progress("run-1", 1)
    (event,) = await heard(client, "event")
    assert event["seq"] == 1
    assert codec.decode(codec.encode(event["data"]), RunProgressed).done == 1
    await client.close()
