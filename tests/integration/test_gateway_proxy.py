"""Two gateways behind nginx, with the settings that `docs/operations.md` gives."""

import asyncio
import json
import re
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from shared.bus.connection import Connection
from tests.support.gateways import Gateway, Market, free_port, gateway_on
from tests.support.resuming import Resuming
from tests.support.servers import NatsServer

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
#: What a distribution's nginx.conf says around it, without its paths.
AROUND = """
daemon off;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{settings}
}}
"""

pytestmark = pytest.mark.skipif(NGINX is None, reason="there is no nginx (Debian: nginx-light)")


@dataclass(frozen=True)
class Behind:
    """The gateways, and what their clients see: the proxy, as if it were one."""

    one: Gateway
    other: Gateway
    seen: Gateway


def settings(*, port: int, gateways: tuple[int, int]) -> str:
    """Those of the page, with other ports."""
    (block,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)
    ports = {"8000": gateways[0], "8001": gateways[1], "8080": port}
    return re.sub(r"\b(8000|8001|8080)\b", lambda found: str(ports[found[1]]), block)


@contextmanager
def nginx(folder: Path, text: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    folder.mkdir()
    file = folder / "nginx.conf"
    file.write_text(AROUND.format(folder=folder, settings=text))
    with subprocess.Popen([str(NGINX), "-p", str(folder), "-c", str(file)]) as process:
        try:
            while process.poll() is None:
                with suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
            yield process
        finally:
            process.terminate()


@pytest.fixture
async def market(connection: Connection) -> Market:
    market = Market(connection)
    await market.open()
    return market


@pytest.fixture
async def behind(market: Market, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Behind]:
    port = free_port()
    allowed = {"ALLOWED_ORIGINS": f"http://127.0.0.1:{port}"}
    async with (
        gateway_on(tmp_path / "a", nats_server.url, **allowed) as one,
        gateway_on(tmp_path / "b", nats_server.url, **allowed) as other,
    ):
        text = settings(port=port, gateways=(one.port, other.port))
        with nginx(tmp_path / "nginx", text, port) as process:
            yield Behind(one, other, Gateway(port=port, process=process))  # type: ignore[arg-type]


async def test_reads_and_sockets_pass_through_and_a_page_of_the_proxy_may_open_them(
    behind: Behind, market: Market
) -> None:
    def read() -> int:
        url = f"{behind.seen.url}/api/v1/predictions/BTC_USDT"
        with urllib.request.urlopen(url, timeout=5) as answer:
            status: int = answer.status
            return status

    assert await asyncio.to_thread(read) == 200
    async with connect(behind.seen.socket_url, origin=behind.seen.url) as page:  # type: ignore[arg-type]
        await page.send(json.dumps({"op": "subscribe", "channels": ["training"]}))
        await market.progress("run-1", 7)
        while (message := json.loads(await page.recv()))["type"] != "event":
            pass
    assert message["data"]["done"] == 7


async def test_a_gateway_that_ends_hands_its_clients_to_the_other_and_they_miss_nothing(
    behind: Behind, market: Market
) -> None:
    clients = [Resuming("training") for _ in range(20)]
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.listen(behind.seen, until=30))
        for client in clients:
            await client.subscribed.wait()
        for done in range(30):
            await market.progress("run-1", done)
            if done == 10:
                behind.one.process.send_signal(signal.SIGTERM)
            if done == 20:
                assert await asyncio.to_thread(behind.one.process.wait, 10) == 0
    assert [client.numbers for client in clients] == [list(range(1, 31))] * 20
    moved = [client for client in clients if client.codes]
    assert 0 < len(moved) < 20
    assert {client.codes[0] for client in moved} == {1012}
    assert all(client.hints for client in moved)
