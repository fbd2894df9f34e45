"""Servers that do nothing but what is measured: the yardsticks. `raw`, `broadcast` or `framework`.

`raw` is a bare protocol of the event loop that writes ready bytes, `broadcast` the server of
`websockets` with its own fan-out, `framework` FastAPI with an ordinary endpoint for each.
"""

import asyncio
import base64
import hashlib
import socket
from typing import Any, Final, cast

import uvicorn
from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
from websockets.asyncio.server import ServerConnection, broadcast, serve

from tests.benchmarks.gateway.remote import obey

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CHUNK: Final = 100
_BODY: Final = b"x"


class Raw(asyncio.Protocol):
    """Answers every request with the same bytes, and an upgrade with its key."""

    sockets: Final[set[asyncio.Transport]] = set()
    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if b"Upgrade: websocket" in data:
            key = data.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
            accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self.sockets.add(self.transport)
        elif data.startswith(b"GET "):
            self.transport.write(self.answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.sockets.discard(self.transport)


class Plain:
    """One server, of one kind."""

    def __init__(self) -> None:
        self._connections: set[ServerConnection] = set()
        self._app = FastAPI()
        self._kept: list[object] = []
        self._body = _BODY

    async def start(self, *, kind: str, body_bytes: int = 300) -> dict[str, int]:
        """Listen; answers over HTTP have so many bytes."""
        self._body = b"x" * body_bytes
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(4096)
        if kind == "raw":
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {body_bytes}\r\n\r\n".encode()
            Raw.answer = head + self._body
            loop = asyncio.get_running_loop()
            self._kept.append(await loop.create_server(Raw, sock=listener, backlog=4096))
        elif kind == "broadcast":
            server = await serve(self._hold, sock=listener, compression=None, ping_interval=None)
            self._kept.append(server)
        else:
            self._framework(listener)
        return {"port": listener.getsockname()[1]}

    async def tell(self, *, kind: str, events: int, every_s: float, size: int) -> dict[str, Any]:
        """Send so many messages of so many bytes to every socket."""
        text = "x" * size
        frame = b"\x81\x7e" + size.to_bytes(2) + text.encode()
        for _ in range(events):
            if kind == "raw":
                await self._write(frame)
            else:
                broadcast(self._connections, text)
            await asyncio.sleep(every_s)
        return {}

    async def _write(self, frame: bytes) -> None:
        """As the loop's own transports allow, with a turn for others now and then."""
        sockets = list(Raw.sockets)
        for first in range(0, len(sockets), _CHUNK):
            for transport in sockets[first : first + _CHUNK]:
                transport.write(frame)
            await asyncio.sleep(0)

    async def _hold(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        try:
            await connection.wait_closed()
        finally:
            self._connections.discard(connection)

    def _framework(self, listener: socket.socket) -> None:
        @self._app.get("/answer")
        async def answer() -> Response:
            return Response(self._body, media_type="application/json")

        @self._app.websocket("/ws")
        async def hold(websocket: WebSocket) -> None:
            await websocket.accept()
            try:
                while True:
                    await websocket.receive_text()
            except WebSocketDisconnect:
                pass

        config = uvicorn.Config(
            self._app, log_level="warning", access_log=False, ws="websockets-sansio", backlog=4096
        )
        serving = uvicorn.Server(config).serve(sockets=[listener])
        self._kept.append(asyncio.ensure_future(serving))  # noqa: TID251 - as long as the process


if __name__ == "__main__":
    plain = Plain()
    obey({"start": plain.start, "tell": plain.tell})
