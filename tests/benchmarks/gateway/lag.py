"""From an event's publication to a client's receipt, beside bare NATS."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Final

import uvloop
from nats.aio.msg import Msg

from shared.bus.connection import NatsOptions, connected
from tests.benchmarks.gateway.remote import remote
from tests.benchmarks.gateway.stage import CHANNEL, Stage, staged
from tests.benchmarks.measure import Row, Section, at_most, median, quietness
from tests.benchmarks.plan import Plan

_EVERY_S: Final = 0.02
_SETTLE_S: Final = 1.0
_TEN_A_SECOND: Final = 0.1
_MS: Final = 1e3


def measure(plan: Plan) -> Section:
    before = quietness()
    rows = uvloop.run(_measured(plan))
    return Section(
        title="The gateway: how late events are",
        notes=(
            "Wall time from the moment that an event bears, taken just before it is published, to "
            "its receipt in another process: over JetStream and a websocket, and for a bare "
            f"publish of NATS to a bare subscriber, in turns. {before}",
            f"Then the round trip of a ping while {plan.crowd // 2} sockets are told of ten events "
            "a second.",
        ),
        rows=rows,
    )


async def _measured(plan: Plan) -> tuple[Row, ...]:
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(staged())
        clients = await stack.enter_async_context(remote("crowd"))
        await clients.ask("open", port=stage.gateway.port, count=10, channels=[CHANNEL])
        ours, bare = [], []
        for _ in range(plan.turns):
            await clients.ask("mark")
            await stage.tell(events=plan.messages, every_s=_EVERY_S)
            await asyncio.sleep(_SETTLE_S)
            ours.append((await clients.ask("report"))["lag"])
            bare.append(await _bare(stage, plan.messages))
        listeners = await stack.enter_async_context(remote("crowd"))
        await listeners.ask(
            "open", port=stage.gateway.port, count=plan.crowd // 2, channels=[CHANNEL]
        )
        trips = []
        for _ in range(plan.turns):
            async with asyncio.TaskGroup() as group:
                group.create_task(stage.tell(events=plan.seconds * 20, every_s=_TEN_A_SECOND))
                trip = await clients.ask("ping", count=plan.seconds * 90, every_s=_EVERY_S)
            trips.append(trip["p99"])
    above = median(a["p50"] - median(b) for a, b in zip(ours, bare, strict=True))
    return (
        Row(
            what="event lag p50",
            ours=median(each["p50"] for each in ours) * _MS,
            unit="ms",
            yardstick=median(median(each) for each in bare) * _MS,
        ),
        Row(what="event lag p50, above bare NATS", ours=above * _MS, unit="ms", goal=at_most(2.0)),
        Row(what="event lag p99", ours=median(each["p99"] for each in ours) * _MS, unit="ms"),
        Row(
            what=f"ping p99, {plan.crowd // 2} sockets told ten times a second",
            ours=median(trips) * _MS,
            unit="ms",
            goal=at_most(2.0),
        ),
    )


async def _bare(stage: Stage, messages: int) -> list[float]:
    """Seconds that each of so many messages took."""
    lags: list[float] = []

    async def receive(message: Msg) -> None:
        lags.append(time.time() - float(message.data))

    async with connected(NatsOptions(servers=(stage.nats_url,)), name="bare") as other:
        subscription = await other.client.subscribe("benchmark.lag", cb=receive)
        await other.client.flush()
        for _ in range(messages):
            await stage.connection.client.publish("benchmark.lag", repr(time.time()).encode())
            await asyncio.sleep(_EVERY_S)
        await asyncio.sleep(_SETTLE_S / 10)
        await subscription.unsubscribe()
    return lags
