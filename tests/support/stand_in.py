"""An HTTP server on this machine that stands in for one far away, with its faults."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.utils import format_datetime
from enum import Enum, auto
from urllib.parse import parse_qsl, urlsplit

from shared.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Fault(Enum):
    SILENCE = auto()
    """The request is read and never answered."""
    RESET = auto()
    """The connection is torn down instead of an answer."""
    CUT_SHORT = auto()
    """The connection ends in the middle of the answer."""


Site = Callable[[Request], Answer | Fault]


@asynccontextmanager
async def standing_in(site: Site, clock: Clock) -> AsyncIterator[str]:
    """Answer as `site` says; the address. The answers' `Date` is that of `clock`."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await _exchange(site, clock, reader, writer):
                    pass
        finally:
            connections.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        for task in tuple(connections):
            task.cancel()
        await asyncio.sleep(0)


async def _exchange(
    site: Site, clock: Clock, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """One request and its answer; whether the connection is good for another."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    target = urlsplit(head.split(" ", 2)[1])
    answer = site(Request(target.path, dict(parse_qsl(target.query))))
    match answer:
        case Fault.SILENCE:
            await reader.read()
            return False
        case Fault.RESET:
            writer.transport.abort()
            return False
        case Fault.CUT_SHORT:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[[17000")
            await writer.drain()
            return False
        case Answer():
            headers = {
                "Date": format_datetime(clock(), usegmt=True),
                "Content-Type": "application/json",
                "Content-Length": str(len(answer.body)),
                **answer.headers,
            }
            lines = [f"HTTP/1.1 {answer.status} -", *(f"{k}: {v}" for k, v in headers.items())]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body)
            await writer.drain()
            return True
