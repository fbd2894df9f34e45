"""The websocket as strangers see it: with other teams' clients, in other languages."""

import asyncio
import json
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.bus.connection import Connection
from tests.support.gateways import Gateway, Market, gateway_on
from tests.support.servers import NatsServer

HERE = Path(__file__).parent
MARKETS = HERE.parents[1] / ".venv-markets" / "bin" / "python"
CLIENTS = {
    "ws of Node": [shutil.which("node") or "node", str(HERE / "listen.mjs")],
    "aiohttp": [str(MARKETS), str(HERE / "listen_aiohttp.py")],
    "websockets in threads": [sys.executable, str(HERE / "listen_threads.py")],
}
NEEDS = {
    "ws of Node": (HERE / "node_modules" / "ws", "`make wire` installs it, where npm is"),
    "aiohttp": (MARKETS, "`make markets` installs it"),
    "websockets in threads": (HERE, "it is part of the project"),
}


@pytest.fixture
async def market(connection: Connection) -> Market:
    market = Market(connection)
    await market.open()
    return market


@asynccontextmanager
async def listening(
    client: str, gateway: Gateway, channel: str
) -> AsyncIterator[asyncio.StreamReader]:
    process = await asyncio.create_subprocess_exec(
        *CLIENTS[client], gateway.socket_url, channel, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def heard(lines: asyncio.StreamReader, count: int) -> list[dict[str, Any]]:
    """The next messages but for heartbeats."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            message = json.loads(await lines.readline())
            if message["type"] != "heartbeat":
                found.append(message)
    return found


@pytest.mark.parametrize("client", CLIENTS)
async def test_another_team_s_client_hears_everything_in_order_and_why_it_ends(
    client: str, market: Market, nats_server: NatsServer, tmp_path: Path
) -> None:
    needed, how = NEEDS[client]
    if not needed.exists():
        pytest.skip(f"there is no {client}: {how}")
    async with (
        gateway_on(tmp_path, nats_server.url) as gateway,
        listening(client, gateway, "training") as lines,
    ):
        greeted = await heard(lines, 4)
        assert [m["type"] for m in greeted] == ["welcome", "subscribed", "snapshot", "pong"]
        for done in range(5):
            await market.progress("run-1", done)
        events = await heard(lines, 5)
        assert [(m["seq"], m["data"]["done"]) for m in events] == [(n + 1, n) for n in range(5)]
        gateway.process.send_signal(signal.SIGTERM)
        closing, closed = await heard(lines, 2)
        assert (closing["type"], closed) == ("closing", {"type": "closed", "code": 1012})
