"""One event to thousands of sockets: what a delivery costs, beside servers that do less."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

import uvloop

from tests.benchmarks.gateway.remote import Remote, remote
from tests.benchmarks.gateway.stage import CHANNEL, Stage, cpu_seconds, staged
from tests.benchmarks.measure import Row, Section, at_least, median
from tests.benchmarks.plan import Plan

_US: Final = 1e6
_RATE: Final = 50_000  # deliveries a second, which leaves the machine room
_SETTLE_S: Final = 1.0
_MANY: Final = 4


def measure(plan: Plan) -> Section:
    counts = (plan.sockets, plan.crowd)
    return Section(
        title="The gateway: one event to many sockets",
        notes=(
            "CPU time of the serving process for a delivery, of an event channel, medians of "
            f"{plan.turns} turns one beside the other. Ours takes each event from JetStream, "
            "numbers, encodes and frames it; the yardsticks write a frame of the same size that "
            "is there already.",
        ),
        rows=tuple(row for count in counts for row in uvloop.run(_measured(count, plan))),
    )


async def _measured(count: int, plan: Plan) -> tuple[Row, ...]:
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(staged())
        ours = await stack.enter_async_context(remote("crowd"))
        await ours.ask("open", port=stage.gateway.port, count=count, channels=[CHANNEL])
        await stage.tell(events=2, every_s=0.1)
        await asyncio.sleep(_SETTLE_S)
        size = (await ours.ask("report"))["frame_bytes"]
        others = {kind: await _opened(stack, kind, count) for kind in ("raw", "broadcast")}
        turns = [
            (
                await _ours(stage, ours, count),
                await _plain("raw", *others["raw"], count, size),
                await _plain("broadcast", *others["broadcast"], count, size),
            )
            for _ in range(plan.turns)
        ]
    cost = median(own for own, _, _ in turns) * _US
    return (
        Row(
            what=f"{size} bytes to {count} sockets, against bare transports of uvloop",
            ours=cost,
            unit="us",
            yardstick=median(raw for _, raw, _ in turns) * _US,
            ratio=median(raw / own for own, raw, _ in turns),
            goal=at_least(0.85),
        ),
        Row(
            what=f"{size} bytes to {count} sockets, against `websockets.broadcast`",
            ours=cost,
            unit="us",
            yardstick=median(other for _, _, other in turns) * _US,
            ratio=median(other / own for own, _, other in turns),
            goal=at_least(1.2),
        ),
    )


async def _opened(stack: AsyncExitStack, kind: str, count: int) -> tuple[Remote, Remote]:
    """A yardstick, and its clients."""
    server = await stack.enter_async_context(remote("plain"))
    clients = await stack.enter_async_context(remote("crowd"))
    port = (await server.ask("start", kind=kind))["port"]
    await clients.ask("open", port=port, count=count, channels=[])
    return server, clients


def _events(count: int) -> tuple[int, float]:
    """How many events make a turn, and the seconds between them."""
    return max(5, 200_000 // count // _MANY), count / _RATE


async def _ours(stage: Stage, clients: Remote, count: int) -> float:
    events, every_s = _events(count)
    await clients.ask("mark")
    before = cpu_seconds(stage.pid)
    await stage.tell(events=events, every_s=every_s)
    await asyncio.sleep(_SETTLE_S)
    spent, heard = cpu_seconds(stage.pid) - before, await clients.ask("report")
    assert heard["fewest"] == events, heard
    return spent / (events * count)


async def _plain(kind: str, server: Remote, clients: Remote, count: int, size: int) -> float:
    events, every_s = _events(count)
    await clients.ask("mark")
    before = cpu_seconds(server.pid)
    await server.ask("tell", kind=kind, events=events, every_s=every_s, size=size)
    await asyncio.sleep(_SETTLE_S)
    spent, heard = cpu_seconds(server.pid) - before, await clients.ask("report")
    assert heard["fewest"] == events, heard
    return spent / (events * count)
