"""A gateway from before NATS is there until it is told to end, alone and beside another."""

import asyncio
import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from shared.bus.connection import Connection
from tests.support.gateways import (
    Gateway,
    Market,
    gateway_on,
    start_gateway,
    wait_until_ready,
)
from tests.support.servers import NatsServer


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


async def get(gateway: Gateway, path: str) -> tuple[int, Any]:
    def fetch() -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(gateway.url + path, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, json.load(exc)

    return await asyncio.to_thread(fetch)


async def subscribe(gateway: Gateway, channel: str) -> ClientConnection:
    client = await connect(gateway.socket_url)
    await client.send(json.dumps({"op": "subscribe", "channels": [channel]}))
    await heard(client, "snapshot")
    return client


async def heard(client: ClientConnection, kind: str) -> Any:
    async with asyncio.timeout(15):
        while True:
            message = json.loads(await client.recv())
            if message["type"] == kind:
                return message


async def listening(gateway: Gateway) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                await get(gateway, "/healthz")
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return


async def test_before_nats_is_there_it_lives_and_says_that_it_is_not_ready(
    market: Market, nats_server: NatsServer, tmp_path: Path
) -> None:
    nats_server.kill()
    gateway = start_gateway(tmp_path, nats_server.url)
    try:
        await listening(gateway)
        assert (await get(gateway, "/healthz"))[0] == 200
        status, problem = await get(gateway, "/readyz")
        assert (status, problem["code"]) == (503, "unavailable")
        assert "the predictions" in problem["detail"]
        assert (await get(gateway, "/api/v1/train/jobs"))[0] == 503
        with pytest.raises(InvalidStatus) as refused:
            await connect(gateway.socket_url)
        assert refused.value.response.status_code == 503
        nats_server.start()
        await asyncio.to_thread(wait_until_ready, gateway)
        await (await subscribe(gateway, "training")).close()
    finally:
        gateway.process.kill()
        await asyncio.to_thread(gateway.process.communicate)


async def test_told_to_end_before_nats_is_there_it_ends_well(
    market: Market, nats_server: NatsServer, tmp_path: Path
) -> None:
    nats_server.kill()
    gateway = start_gateway(tmp_path, nats_server.url)
    await listening(gateway)
    gateway.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(gateway.process.communicate, timeout=10)
    assert gateway.process.returncode == 0


async def test_sockets_are_told_that_nats_went_away_and_that_it_is_back(
    gateway: Gateway, nats_server: NatsServer
) -> None:
    client = await subscribe(gateway, "system")
    nats_server.kill()
    while (await heard(client, "event"))["data"]["nats"]:
        pass
    nats_server.start()
    while not (await heard(client, "event"))["data"]["nats"]:
        pass
    await client.close()


async def test_at_the_end_each_socket_is_told_when_to_come_back(gateway: Gateway) -> None:
    clients = [await subscribe(gateway, "training") for _ in range(10)]
    gateway.process.send_signal(signal.SIGTERM)
    waits = {(await heard(client, "closing"))["retry_after_ms"] for client in clients}
    assert len(waits) > 5
    for client in clients:
        with pytest.raises(ConnectionClosed) as closed:
            await heard(client, "event")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    await asyncio.to_thread(gateway.process.communicate, timeout=10)
    assert gateway.process.returncode == 0


async def test_a_request_in_hand_is_answered_before_the_end(
    gateway: Gateway, connection: Connection
) -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def answer(message: Any) -> None:
        asked.set()
        await may_answer.wait()
        await message.respond(b"[]")

    await connection.client.subscribe("evertrain.scheduler.jobs", cb=answer)
    async with asyncio.TaskGroup() as group:
        request = group.create_task(get(gateway, "/api/v1/train/jobs"))
        await asked.wait()
        gateway.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(_wait_until_closed, gateway)
        may_answer.set()
    assert request.result() == (200, [])
    await asyncio.to_thread(gateway.process.communicate, timeout=10)
    assert gateway.process.returncode == 0


def _wait_until_closed(gateway: Gateway) -> None:
    """Until nobody is let in any more."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", gateway.port), timeout=1).close()
        except ConnectionRefusedError:
            return


async def test_two_gateways_share_a_port_and_one_that_ends_leaves_it_to_the_other(
    market: Market, nats_server: NatsServer, tmp_path: Path
) -> None:
    async with gateway_on(tmp_path / "a", nats_server.url, GATEWAY_SHARE_PORT="true") as one:
        shared = {"GATEWAY_SHARE_PORT": "true", "GATEWAY_PORT": str(one.port)}
        async with gateway_on(tmp_path / "b", nats_server.url, **shared) as other:
            await asyncio.to_thread(_wait_until_both_answer, one)
            clients = [await subscribe(one, "training") for _ in range(16)]
            one.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(one.process.wait, 10)
            await market.progress("run-1", 1)
            kept = [client for client in clients if not await _ended(client)]
            assert 0 < len(kept) < len(clients)
            await (await subscribe(other, "training")).close()


def _wait_until_both_answer(gateway: Gateway) -> None:
    """By the times at which those who answer were started."""
    seen: set[str] = set()
    while len(seen) < 2:
        with urllib.request.urlopen(f"{gateway.url}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        seen.update(line for line in lines if line.startswith("process_start_time_seconds"))


async def _ended(client: ClientConnection) -> bool:
    try:
        await heard(client, "event")
    except ConnectionClosed:
        return True
    await client.close()
    return False
