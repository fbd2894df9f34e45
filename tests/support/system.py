"""The whole system, started as a user starts it, and the clients of a user."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx2
import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

DEMO_SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
_POLL_S = 0.2
T = TypeVar("T")


class System:
    """`evertrain up --demo` on a data directory of its own. `process` is the supervisor."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log
        self.http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10)

    @classmethod
    def start(cls, data_dir: Path, **settings: str) -> Self:
        data_dir.mkdir(parents=True, exist_ok=True)
        port = _free_port()
        log = data_dir / "up.log"
        command = [sys.executable, "-m", "evertrain", "up", "--demo"]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*command, "--data-dir", str(data_dir), "--port", str(port)],
                # Updates by the clock would take the training lock when a test wants it.
                env={**os.environ, "INCREMENTAL_ENABLED": "false", **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(process, port, log)

    async def get(self, path: str) -> Any:
        """The JSON of a successful answer; numbers that are not finite are refused."""
        answer = await self.http.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return finite(answer.text)

    async def trigger(self, mode: str) -> str:
        """Start a run over everything, behind whatever runs now; its id."""
        answer = await self.http.post(
            "/api/v1/auto-train/trigger", json={"mode": mode, "force": True}
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])

    async def run(self, run_id: str) -> dict[str, Any] | None:
        answer = await self.http.get(f"/api/v1/train/runs/{run_id}")
        return dict(answer.json()) if answer.status_code == 200 else None

    async def ended(self, run_id: str, *, within: float, every: float = _POLL_S) -> dict[str, Any]:
        """The record of the run once it has ended, which is asked `every` few seconds."""

        async def ended() -> dict[str, Any] | None:
            record = await self.run(run_id)
            final = record is not None and record["status"] not in ("queued", "running")
            return record if final else None

        return await eventually(ended, within=within, every=every)

    async def is_ready(self, *, within: float) -> None:
        async def ready() -> bool:
            return (await self.http.get("/readyz")).status_code == 200

        await eventually(ready, within=within)

    async def serves(self, symbols: Iterable[str] = DEMO_SYMBOLS, *, within: float) -> None:
        """Wait until every symbol has a prediction."""

        async def served() -> bool:
            answers = [await self.http.get(f"/api/v1/predictions/{s}") for s in symbols]
            return all(answer.status_code == 200 for answer in answers)

        await eventually(served, within=within)

    def processes(self, module: str) -> list[psutil.Process]:
        """The processes below the supervisor whose command line names `module`."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if module in " ".join(_command(child))]

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    async def stopped(self, *, within: float) -> int:
        """The exit code, once the supervisor has ended."""
        return await asyncio.to_thread(self.process.wait, within)

    async def close(self) -> None:
        await self.http.aclose()
        if self.process.poll() is None:
            self.interrupt()
            try:
                await asyncio.to_thread(self.process.wait, 15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@asynccontextmanager
async def running(
    data_dir: Path, *, first: str | None = None, **settings: str
) -> AsyncIterator[System]:
    """A system that has trained every demo symbol once and serves predictions of them.

    `first` is the mode of that training, where it is not the demo's own quick one.
    """
    if first is not None:
        settings["EVERTRAIN_DEMO"] = "false"
    system = System.start(data_dir, **settings)
    try:
        await system.is_ready(within=60)
        if first is not None:
            await system.ended(await system.trigger(first), within=90)
        await system.serves(within=90)
        yield system
    finally:
        await system.close()


class Listener:
    """One websocket client that keeps every frame and never closes by itself."""

    def __init__(self, socket_: ClientConnection) -> None:
        self._socket = socket_
        self.frames: list[dict[str, Any]] = []
        self.closed: str | None = None

    async def listen(self) -> None:
        try:
            async for text in self._socket:
                self.frames.append(finite(str(text)))
        except ConnectionClosed as exc:
            self.closed = str(exc)
        else:
            self.closed = "closed normally"

    def events(self, channel: str, kind: str | None = None) -> list[dict[str, Any]]:
        return [
            frame
            for frame in self.frames
            if frame["type"] == "event"
            and frame["channel"] == channel
            and kind in (None, frame["data"].get("type"))
        ]

    def gaps(self) -> list[str]:
        """Places where a channel's sequence jumps without saying that values were conflated."""
        last: dict[str, int] = {}
        found = []
        for frame in self.frames:
            channel = str(frame.get("channel"))
            if frame["type"] in ("subscribed", "snapshot"):
                last[channel] = frame["seq"]
            elif frame["type"] == "event":
                expected = last[channel] + 1 + frame.get("conflated", 0)
                if frame["seq"] != expected:
                    found.append(f"{channel}: {frame['seq']} instead of {expected}")
                last[channel] = frame["seq"]
        return found


@asynccontextmanager
async def listeners(
    system: System, count: int, channels: Iterable[str]
) -> AsyncIterator[list[Listener]]:
    """`count` sockets, subscribed to `channels`, listening while the body runs."""
    subscribe = json.dumps({"op": "subscribe", "id": 1, "channels": list(channels)})
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        tasks, clients = [], []
        for _ in range(count):
            opened = await stack.enter_async_context(
                connect(f"ws://127.0.0.1:{system.port}/ws", ping_interval=None)
            )
            await opened.send(subscribe)
            clients.append(Listener(opened))
            tasks.append(group.create_task(clients[-1].listen()))
        try:
            yield clients
        finally:
            for task in tasks:
                task.cancel()


def finite(text: str) -> Any:
    """Parse JSON, refusing NaN and the infinities, which are not JSON."""

    def refuse(name: str) -> float:
        raise ValueError(f"{name} in {text[:200]}")

    return json.loads(text, parse_constant=refuse)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


async def eventually(
    claim: Callable[[], Awaitable[T | None]], *, within: float, every: float = _POLL_S
) -> T:
    """The first answer that is not None and not False; asked again and again until `within`."""
    patience = time.monotonic() + within
    while time.monotonic() < patience:
        with contextlib.suppress(httpx2.HTTPError):
            answer = await claim()
            if answer is not None and answer is not False:
                return answer
        await asyncio.sleep(every)
    raise AssertionError(f"{claim.__qualname__} did not come true within {within} s")
