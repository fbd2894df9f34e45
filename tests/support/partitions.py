"""A road to a server that a test can close: nothing arrives, and no connection ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Road:
    """What was sent while it was closed arrives when it is opened again, as TCP sends it anew."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._passable = asyncio.Event()
        self._passable.set()

    def close(self) -> None:
        self._passable.clear()

    def open(self) -> None:
        self._passable.set()

    async def carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                await self._passable.wait()
                target.write(data)
                await target.drain()
        target.close()


@asynccontextmanager
async def road_to(url: str) -> AsyncIterator[Road]:
    """A road to the NATS server at `url`, which carries its own address."""
    address = url.rpartition("@")[2].removeprefix("nats://")
    host, _, port = address.rpartition(":")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        async with asyncio.TaskGroup() as directions:
            directions.create_task(road.carry(reader, back))
            directions.create_task(road.carry(there, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    here = "{}:{}".format(*server.sockets[0].getsockname())
    road = Road(url.replace(address, here))
    try:
        yield road
    finally:
        road.open()
        server.close()
