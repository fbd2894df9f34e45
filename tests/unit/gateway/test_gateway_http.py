"""The short cut on real connections: what comes in any other way than whole goes the usual way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from starlette.types import Receive, Scope, Send

from services.gateway.adapters.server import listen, serve

pytestmark = pytest.mark.real_time  # real connections

REQUEST = b"GET /hot HTTP/1.1\r\nHost: here\r\n\r\n"


@dataclass
class Memory:
    """Knows every request that it was shown, and answers each with its number."""

    known: list[bytes] = field(default_factory=list)

    def read(
        self,
        request: bytes,
        *,
        method: str,
        path: str,
        query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        assert (method, path, query) == ("GET", "/hot", b"")
        assert (b"host", b"here") in headers
        self.known.append(request)

    def answer(self, request: bytes, client: tuple[str, int] | None) -> tuple[bytes, bytes] | None:
        if request not in self.known:
            return None
        return b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", b"known"


async def framework(scope: Scope, receive: Receive, send: Send) -> None:
    head = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"usual"})


@dataclass
class Server:
    port: int
    memory: Memory

    async def ask(self, *pieces: bytes, answers: int = 1) -> list[bytes]:
        """The bodies that come back when these are sent on one connection, a moment apart."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        async with asyncio.timeout(5):
            bodies = [await _body(reader) for _ in range(answers)]
        writer.close()
        await writer.wait_closed()
        return bodies


async def _body(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.lower().count(b"\r\ndate: ") == 1
    return await reader.readexactly(5)


async def _listens(port: int) -> None:
    async with asyncio.timeout(5):
        while True:
            with suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.01)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    listener, memory, stop = listen("127.0.0.1", 0), Memory(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(framework, asyncio.Protocol, memory, listener, stop))
        await _listens(listener.getsockname()[1])
        yield Server(listener.getsockname()[1], memory)
        stop.set()


async def test_a_request_that_came_before_is_answered_by_its_bytes(server: Server) -> None:
    assert await server.ask(REQUEST, REQUEST, REQUEST, answers=3) == [b"usual", b"known", b"known"]


async def test_it_is_known_on_other_connections_too(server: Server) -> None:
    await server.ask(REQUEST)
    assert await server.ask(REQUEST) == [b"known"]


async def test_known_requests_in_one_piece_are_answered_in_order_the_usual_way(
    server: Server,
) -> None:
    await server.ask(REQUEST)
    assert await server.ask(REQUEST + REQUEST, answers=2) == [b"usual", b"usual"]
    assert server.memory.known == [REQUEST]


async def test_a_request_in_two_pieces_is_read_the_usual_way(server: Server) -> None:
    await server.ask(REQUEST)
    assert await server.ask(REQUEST[:9], REQUEST[9:]) == [b"usual"]


async def test_bytes_inside_of_a_body_are_no_request(server: Server) -> None:
    await server.ask(REQUEST)
    length = str(len(REQUEST)).encode()
    post = b"POST /hot HTTP/1.1\r\nHost: here\r\nContent-Length: " + length + b"\r\n\r\n"
    assert await server.ask(post, REQUEST, REQUEST, answers=2) == [b"usual", b"known"]


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /hot HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n",
        b"GET /hot HTTP/1.0\r\nHost: here\r\nConnection: keep-alive\r\n\r\n",
        b"GET /hot HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n",
        b"GET /hot HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\n\r\n",
    ],
    ids=["closes", "old version", "has a body", "expects"],
)
async def test_what_needs_more_than_an_answer_is_not_remembered(
    server: Server, request_: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request_)
    async with asyncio.timeout(5):
        await reader.readuntil(b"usual")
    writer.close()
    await writer.wait_closed()
    assert server.memory.known == []
