"""Clients: thousands of websockets in one process, and callers of the HTTP API.

They look at what they are sent as little as is possible, since the machine is shared with what they
measure: an event's number is read, its time by some of them only, and nothing else.
"""

import asyncio
import base64
import json
import os
import random
import socket
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, cast

from tests.benchmarks.gateway.remote import obey

_OPENED_AT_ONCE: Final = 100
_OPENS_WITHIN_S: Final = 120.0
_ANSWERS_WITHIN_S: Final = 30.0
_EVENT: Final = b'{"type":"event"'
_SEQ: Final = b'"seq":'
_AT: Final = b'"at":"'
#: Reconnecting clients wait up to so long, as the close code asks them to.
_JITTER_S: Final = 1.0


class Socket(asyncio.Protocol):
    """One client. With `samples` it notes how late each event is."""

    def __init__(self, crowd: "Crowd", *, samples: bool) -> None:
        self.crowd = crowd
        self.samples = samples
        self.opened = asyncio.get_running_loop().create_future()
        self.position: dict[str, tuple[str, int]] = {}
        self.events = 0
        self.code: int | None = None
        self.pongs: dict[int, asyncio.Future[None]] = {}
        self._rest = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{self.crowd.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        if not self._upgraded:
            at = data.find(b"\r\n\r\n") + 4
            if at < 4:
                self._rest = data
                return
            self._upgraded = True
            self._ask(data)
        while size - at >= 2:
            start, length = at + 2, data[at + 1]
            if length == 126:
                start, length = at + 4, int.from_bytes(data[at + 2 : at + 4])
            elif length == 127:
                start, length = at + 10, int.from_bytes(data[at + 2 : at + 10])
            if start + length > size:
                break
            self._on_frame(data[at] & 15, data, start, start + length)
            at = start + length
        self._rest = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.sockets.discard(self)
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("the socket closed before it was open"))
        if self.opened.exception() is None:  # else whoever tried to open it tries again
            self.crowd.lost(self)

    def send(self, message: object) -> None:
        data = json.dumps(message).encode()
        self._send(0x81, data)

    def _send(self, head: int, data: bytes) -> None:
        size = (
            bytes((len(data) | 128,)) if len(data) < 126 else b"\xfe%c%c" % divmod(len(data), 256)
        )
        self.transport.write(bytes((head,)) + size + bytes(4) + data)  # a mask of zeros

    def _ask(self, head: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 101"):
            self.opened.set_exception(ConnectionError(head[:200].decode(errors="replace")))
            return
        if not self.crowd.channels:
            self.opened.set_result(None)
            return
        since = {
            channel: {"epoch": epoch, "seq": seq} for channel, (epoch, seq) in self.position.items()
        }
        self.send({"op": "subscribe", "channels": self.crowd.channels, "since": since})

    def _on_frame(self, opcode: int, data: bytes, start: int, end: int) -> None:
        if opcode == 1 and data[start] != 0x7B:
            self.events += 1  # of a server that knows no JSON
        elif opcode == 1 and data[start : start + len(_EVENT)] == _EVENT:
            self._on_event(data, start)
            self.crowd.frame_bytes = end - start
        elif opcode == 1:
            self._on_message(json.loads(data[start:end]))
        elif opcode == 9:
            self._send(0x8A, data[start:end])
        elif opcode == 8:
            self.code = int.from_bytes(data[start : start + 2]) if end - start >= 2 else 1005
            self._send(0x88, data[start:end])

    def _on_event(self, data: bytes, start: int) -> None:
        found = data.index(_SEQ, start) + len(_SEQ)
        seq = int(data[found : data.index(b",", found)])
        self.events += 1
        channel = self.crowd.channels[0]
        epoch, last = self.position[channel]
        if seq > last + 1:
            self.crowd.missing += seq - last - 1
        elif seq <= last:
            self.crowd.doubled += 1
        self.position[channel] = (epoch, seq)
        if self.samples:
            found = data.index(_AT, start) + len(_AT)
            at = datetime.fromisoformat(data[found : data.index(b'"', found)].decode())
            self.crowd.lags.append(time.time() - at.timestamp())

    def _on_message(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribed":
            channel, before = message["channel"], self.position.get(message["channel"])
            if before is None or not message["recovered"]:
                self.crowd.unrecovered += before is not None
                self.position[channel] = (message["epoch"], message["seq"])
            if not self.opened.done():
                self.opened.set_result(None)
        elif message["type"] == "pong":
            self.pongs.pop(message["id"]).set_result(None)


class Crowd:
    """All clients of this process; they listen to one channel at most."""

    def __init__(self) -> None:
        self.port = 0
        self.channels: list[str] = []
        self.sockets: set[Socket] = set()
        self.coming_back = False
        self.frame_bytes = 0
        self._forget()

    async def open(
        self, *, port: int, count: int, channels: list[str], sampled: int = 50
    ) -> dict[str, Any]:
        """`count` more sockets; `sampled` of them note how late events are."""
        self.port, self.channels = port, channels
        every = max(1, count // sampled)
        started = time.perf_counter()
        async with asyncio.timeout(_OPENS_WITHIN_S):
            for first in range(0, count, _OPENED_AT_ONCE):
                numbers = range(first, min(first + _OPENED_AT_ONCE, count))
                async with asyncio.TaskGroup() as group:
                    for number in numbers:
                        group.create_task(self._open(samples=number % every == 0))
        return {"seconds": time.perf_counter() - started}

    async def _open(self, *, samples: bool, earlier: Socket | None = None) -> None:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(
            lambda: _again(self, samples=samples, earlier=earlier), "127.0.0.1", self.port
        )
        self.sockets.add(client)
        await client.opened

    def lost(self, client: Socket) -> None:
        self.codes[client.code or 0] += 1
        if self.coming_back:
            self._returning.add(asyncio.ensure_future(self._come_back(client)))  # noqa: TID251

    async def _come_back(self, client: Socket) -> None:
        """Again and again, after a random while, until the server takes it."""
        while True:
            await asyncio.sleep(random.random() * _JITTER_S)
            try:
                await self._open(samples=client.samples, earlier=client)
            except OSError:
                continue
            self.back_at = time.time()
            return

    async def mark(self, *, coming_back: bool = False) -> dict[str, Any]:
        """Count from now on; with `coming_back`, those who are closed resume."""
        self._forget()
        self.coming_back = coming_back
        for client in self.sockets:
            client.events = 0
        return {}

    def _forget(self) -> None:
        self.lags: list[float] = []
        self.codes: Counter[int] = Counter()
        self.missing = self.doubled = self.unrecovered = 0
        self.back_at = 0.0
        self._returning: set[asyncio.Future[None]] = set()

    async def report(self) -> dict[str, Any]:
        """What happened since the last mark. Lags in seconds, of the sampled sockets."""
        counts = [client.events for client in self.sockets]
        positions = {client.position.get(name) for client in self.sockets for name in self.channels}
        return {
            "open": len(self.sockets),
            "closed": sum(self.codes.values()),
            "codes": self.codes,
            "missing": self.missing,
            "doubled": self.doubled,
            "unrecovered": self.unrecovered,
            "events": sum(counts),
            "fewest": min(counts, default=0),
            "positions": len(positions),
            "back_at": self.back_at,
            "frame_bytes": self.frame_bytes,
            "lag": _quantiles(self.lags),
        }

    async def heard(self, *, events: int) -> dict[str, float]:
        """How long it takes until every socket has heard of so many events since the mark."""
        started = time.perf_counter()
        async with asyncio.timeout(_ANSWERS_WITHIN_S):
            while min(client.events for client in self.sockets) < events:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return {"seconds": time.perf_counter() - started}

    async def ping(self, *, count: int, every_s: float) -> dict[str, float]:
        """Round trips of the protocol's ping, one socket after another. Seconds."""
        trips = []
        for number, client in zip(range(count), _round(list(self.sockets)), strict=False):
            await asyncio.sleep(every_s)
            client.pongs[number] = asyncio.get_running_loop().create_future()
            started = time.perf_counter()
            client.send({"op": "ping", "id": number})
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                await client.pongs[number]
            trips.append(time.perf_counter() - started)
        return _quantiles(trips)

    async def ignore(self, *, port: int, channels: list[str]) -> dict[str, Any]:
        """A client that subscribes and never reads again."""
        deaf = socket.create_connection(("127.0.0.1", port))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        key = base64.b64encode(os.urandom(16)).decode()
        ask = json.dumps({"op": "subscribe", "channels": channels}).encode()
        deaf.sendall(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Version: 13\r\n\r\n".encode()
            + bytes((0x81, 128 | len(ask)))
            + bytes(4)
            + ask
        )
        self._deaf = deaf
        return {"port": deaf.getsockname()[1]}

    async def hammer(
        self, *, port: int, path: str, connections: int, seconds: float, key: str = ""
    ) -> dict[str, float]:
        """Ask as fast as the answers come, on so many connections; with a key if there is one."""
        until = time.perf_counter() + seconds
        async with asyncio.TaskGroup() as group:
            askers = [
                group.create_task(_ask_until(port, path, until, key)) for _ in range(connections)
            ]
        return {"requests": sum(asker.result() for asker in askers)}

    async def trickle(
        self, *, port: int, path: str, count: int, every_s: float
    ) -> dict[str, float]:
        """Ask now and then on one connection. Seconds an answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        trips = []
        for _ in range(count):
            await asyncio.sleep(every_s)
            started = time.perf_counter()
            await _exchange(reader, writer, port, path)
            trips.append(time.perf_counter() - started)
        writer.close()
        return _quantiles(trips)


def _again(crowd: Crowd, *, samples: bool, earlier: Socket | None) -> Socket:
    client = Socket(crowd, samples=samples)
    if earlier is not None:
        client.position, client.events = earlier.position, earlier.events
    return client


def _round(sockets: Sequence[Socket]) -> Iterable[Socket]:
    while True:
        yield from sockets


async def _ask_until(port: int, path: str, until: float, key: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = 0
    while time.perf_counter() < until:
        await _exchange(reader, writer, port, path, key)
        asked += 1
    writer.close()
    return asked


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    port: int,
    path: str,
    key: str = "",
) -> None:
    shown = f"Authorization: Bearer {key}\r\n" if key else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{shown}\r\n".encode())
    async with asyncio.timeout(_ANSWERS_WITHIN_S):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200"), head
        length = head.index(b"content-length:") + len(b"content-length:")
        await reader.readexactly(int(head[length : head.index(b"\r", length)]))


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    if len(values) < 2:
        return {"count": len(values), "p50": 0.0, "p99": 0.0, "most": 0.0}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"count": len(values), "p50": cuts[49], "p99": cuts[98], "most": max(values)}


if __name__ == "__main__":
    crowd = Crowd()
    obey(
        {
            "open": crowd.open,
            "mark": crowd.mark,
            "report": crowd.report,
            "heard": crowd.heard,
            "ping": crowd.ping,
            "ignore": crowd.ignore,
            "hammer": crowd.hammer,
            "trickle": crowd.trickle,
        }
    )
