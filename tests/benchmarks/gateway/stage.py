"""A gateway process on a real NATS server, with a small market in it, and what it uses."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.bus import topology
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.embedded import embedded_server
from shared.bus.publisher import Publisher
from shared.contracts.events import RunProgressed
from shared.contracts.terms import Mode, Source
from shared.runtime.clock import utc_now
from tests.support.gateways import SYMBOLS, Gateway, Market, gateway_on

#: What every client listens to: an event channel, on which nothing may be left out.
CHANNEL: Final = "training"
PATH: Final = f"/api/v1/predictions/{SYMBOLS[0].token}"
_NS: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    folder: Path
    nats_url: str
    connection: Connection
    gateway: Gateway
    publisher: Publisher

    @property
    def pid(self) -> int:
        return self.gateway.process.pid

    async def tell(self, *, events: int, every_s: float) -> None:
        """Publish so many events of a run, as a trainer does. Each is about 300 bytes."""
        run_id = f"benchmark-{time.time_ns()}"
        due = time.perf_counter()
        for number in range(events):
            await self.publisher.emit(_progressed(run_id, number, events))
            due += every_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))


@asynccontextmanager
async def staged(**settings: str) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = await stack.enter_async_context(embedded_server(folder / "server"))
        connection = await stack.enter_async_context(
            connected(NatsOptions(servers=(url,)), name="benchmark")
        )
        await topology.ensure(connection)
        await Market(connection).open()
        gateway = await stack.enter_async_context(gateway_on(folder / "data", url, **settings))
        yield Stage(
            folder=folder,
            nats_url=url,
            connection=connection,
            gateway=gateway,
            publisher=Publisher(connection),
        )


def cpu_seconds(pid: int) -> float:
    """That a process has computed, in all its threads, to the nanosecond (proc_pid_schedstat)."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / _NS


def _progressed(run_id: str, number: int, total: int) -> RunProgressed:
    return RunProgressed(
        id=f"run.progressed:{run_id}:{number}",
        at=utc_now(),
        run_id=run_id,
        mode=Mode.FULL,
        source=Source.AUTOMATION,
        total=total,
        done=number,
        failed=0,
        skipped=0,
        batch=1,
        batches=1,
        progress_pct=50.0,
        eta_s=None,
    )
