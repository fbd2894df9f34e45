import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop
from hypothesis import settings

from shared.bus import topology
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.publisher import Publisher
from tests.support.servers import NatsServer, nats_server_on

# The same examples at each run, however slow the machine: a red test must be red again.
settings.register_profile("evertrain", deadline=None, derandomize=True)
settings.load_profile("evertrain")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """An empty server for this test alone; starting one takes 30 ms."""
    with nats_server_on(tmp_path) as server:
        yield server


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    return nats_server.url


@pytest.fixture
async def connection(nats_url: str) -> AsyncIterator[Connection]:
    """A connection to a server with every stream and bucket in place."""
    async with connected(NatsOptions(servers=(nats_url,)), name="test") as opened:
        await topology.ensure(opened)
        yield opened


@pytest.fixture
def publisher(connection: Connection) -> Publisher:
    return Publisher(connection)
