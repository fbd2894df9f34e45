"""What a socket that only waits takes, and how fast sockets are opened."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

import uvloop

from tests.benchmarks.children import rss_mb
from tests.benchmarks.gateway.remote import remote
from tests.benchmarks.gateway.stage import cpu_seconds, staged
from tests.benchmarks.measure import Row, Section, at_least, at_most
from tests.benchmarks.plan import Plan

_SETTLE_S: Final = 1.0


def measure(plan: Plan) -> Section:
    ours, raw, framework = uvloop.run(_measured(plan))
    return Section(
        title="The gateway: sockets that wait",
        notes=(
            f"{plan.sockets * 5} websockets opened one hundred at a time and left alone: resident "
            "memory of the serving process for each, and the CPU time that opening one takes it. "
            "Ours has done its checks and said welcome; the bare protocol answers the upgrade and "
            "does nothing else.",
        ),
        rows=(
            Row(
                what="memory of a socket, above a bare transport's",
                ours=ours[0] - raw[0],
                unit="KB",
                goal=at_most(8.0),
            ),
            Row(what="memory of a socket", ours=ours[0], unit="KB", yardstick=framework[0]),
            Row(
                what="opened for a second of CPU, against an endpoint of FastAPI",
                ours=1 / ours[1],
                unit="a second",
                yardstick=1 / framework[1],
                ratio=framework[1] / ours[1],
                goal=at_least(2.0),
            ),
        ),
    )


async def _measured(plan: Plan) -> tuple[tuple[float, float], ...]:
    """Of each server: KB a socket, and CPU seconds to open one."""
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(staged())
        found = [await _opened(stage.pid, stage.gateway.port, plan)]
        for kind in ("raw", "framework"):
            server = await stack.enter_async_context(remote("plain"))
            port = (await server.ask("start", kind=kind))["port"]
            found.append(await _opened(server.pid, port, plan))
    return tuple(found)


async def _opened(pid: int, port: int, plan: Plan) -> tuple[float, float]:
    count = plan.sockets * 5
    async with remote("crowd") as clients:
        await clients.ask("open", port=port, count=count // 20, channels=[])  # what is made once
        memory, cpu = rss_mb([pid]), cpu_seconds(pid)
        await clients.ask("open", port=port, count=count, channels=[])
        cpu = cpu_seconds(pid) - cpu
        await asyncio.sleep(_SETTLE_S)
        return (rss_mb([pid]) - memory) * 1024 / count, cpu / count
