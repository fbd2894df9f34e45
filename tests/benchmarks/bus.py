"""Our layer over NATS against the library that it is built on, on the same embedded server."""

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop
from nats.aio.msg import Msg

from shared.bus import rpc, topology
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.embedded import embedded_server
from shared.bus.kv import Bucket
from shared.bus.locks import JetStreamLeases
from shared.bus.publisher import Publisher
from shared.contracts import subjects
from shared.contracts.errors import Unavailable
from shared.contracts.records import Problem
from shared.runtime.lease import LeasePolicy, hold
from shared.runtime.tasks import alongside
from tests.benchmarks.measure import Pair, Row, Section, at_most, paired, times_more, value
from tests.benchmarks.plan import Plan

#: The event that a training publishes most is about as long.
_PAYLOAD: Final = os.urandom(300)
_KEY: Final = "benchmark"
_LEASE: Final = "benchmark.lease"
_POLL_S: Final = 0.2

Step = Callable[[int], Awaitable[object]]


def measure(plan: Plan) -> Section:
    with tempfile.TemporaryDirectory() as folder:
        rows = uvloop.run(_measured(Path(folder), plan))
    return Section(
        title="The bus",
        notes=(
            "Wall time of one operation after the other, ours against bare nats-py, in turns on "
            "two connections to one embedded server that writes every message to the disk before "
            "it acknowledges it.",
            f"A lease of {plan.lease_ttl_s} s whose holder has vanished is taken over by one that "
            f"asks every {_POLL_S} s.",
        ),
        rows=rows,
    )


async def _measured(folder: Path, plan: Plan) -> tuple[Row, ...]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(embedded_server(folder))
        options = NatsOptions(servers=(url,))
        ours = await stack.enter_async_context(connected(options, name="ours"))
        bare = await stack.enter_async_context(connected(options, name="bare"))
        await topology.ensure(ours)
        publish = await _compared(_publishing(ours), _bare_publishing(bare), plan)
        write = await _compared(await _writing(ours), await _bare_writing(bare), plan)
        ask = await _asking(ours, bare, plan)
        taken = await _takeover(ours, plan.lease_ttl_s)
    return (
        times_more("durable publish, acknowledged", publish, "us"),
        times_more("compare-and-set of a key", write, "us"),
        times_more("question and answer", ask, "us"),
        value("a vanished holder's lease taken over", taken, "s", at_most(plan.lease_ttl_s + 1)),
    )


async def _compared(ours: Step, bare: Step, plan: Plan) -> Pair:
    await _seconds(ours, 10), await _seconds(bare, 10)
    turns = [
        (await _seconds(ours, plan.messages), await _seconds(bare, plan.messages))
        for _ in range(plan.turns)
    ]
    return paired(turns)


async def _seconds(step: Step, times: int) -> float:
    started = time.perf_counter()
    for number in range(times):
        await step(number)
    return (time.perf_counter() - started) / times


def _publishing(connection: Connection) -> Step:
    publisher = Publisher(connection)

    async def publish(number: int) -> None:
        identity = f"ours-{time.perf_counter_ns()}-{number}"
        await publisher.publish("evertrain.event.benchmark", _PAYLOAD, message_id=identity)

    return publish


def _bare_publishing(connection: Connection) -> Step:
    async def publish(number: int) -> None:
        identity = f"bare-{time.perf_counter_ns()}-{number}"
        headers = {"Nats-Msg-Id": identity}
        await connection.js.publish("evertrain.event.benchmark", _PAYLOAD, headers=headers)

    return publish


async def _writing(connection: Connection) -> Step:
    bucket = Bucket(connection, subjects.CONFIG)
    revision = await bucket.create(f"{_KEY}.ours", _PAYLOAD)

    async def write(number: int) -> None:
        nonlocal revision
        revision = await bucket.update(f"{_KEY}.ours", _PAYLOAD, revision)

    return write


async def _bare_writing(connection: Connection) -> Step:
    bucket = await connection.js.key_value(subjects.CONFIG)
    revision = await bucket.create(f"{_KEY}.bare", _PAYLOAD)

    async def write(number: int) -> None:
        nonlocal revision
        revision = await bucket.update(f"{_KEY}.bare", _PAYLOAD, last=revision)

    return write


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    text: str


async def _asking(ours: Connection, bare: Connection, plan: Plan) -> Pair:
    """Our micro service answers a typed question; the bare subscription echoes the same bytes."""
    stop = asyncio.Event()
    answer = Problem(code="benchmark", message="nothing is the matter")

    async def answered(question: _Question) -> Problem:
        return answer

    async def echo(message: Msg) -> None:
        await message.respond(message.data)

    endpoint = rpc.Endpoint(name="ask", request=_Question, handler=answered)
    serving = rpc.serve(bare, "benchmark", "1.0.0", (endpoint,), stop)
    await bare.client.subscribe("bare.ask", cb=echo)
    await bare.client.flush()
    async with alongside(serving, name="benchmark service"):
        await _until_served(ours)
        return await _compared(
            lambda number: rpc.ask(
                ours, "evertrain.benchmark.ask", _Question(text=f"{number}"), Problem
            ),
            lambda number: ours.client.request("bare.ask", b'{"text":"how are you?"}'),
            plan,
        )


async def _until_served(connection: Connection) -> None:
    while True:
        try:
            await rpc.ask(connection, "evertrain.benchmark.ask", _Question(text=""), Problem)
        except Unavailable:
            await asyncio.sleep(0.02)
        else:
            return


async def _takeover(connection: Connection, ttl_s: int) -> float:
    """From the last sign of life of a holder until another one holds the lease."""
    leases = await JetStreamLeases.open(connection)
    await leases.create(_LEASE, b"vanished", ttl=ttl_s)
    started = time.perf_counter()
    policy = LeasePolicy(ttl=ttl_s, margin=ttl_s / 5, renew_every=ttl_s / 4)
    async with hold(leases, _LEASE, _inscription, policy=policy, poll_every=_POLL_S):
        return time.perf_counter() - started


def _inscription(token: int) -> bytes:
    return b"successor %d" % token
