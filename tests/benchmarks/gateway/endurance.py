"""What sockets live through: a training run, deaf neighbours, a frozen gateway, a new one."""

import asyncio
import os
import signal
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import uvloop

from tests.benchmarks import markets, whole
from tests.benchmarks.children import own_mb
from tests.benchmarks.gateway.remote import Remote, remote
from tests.benchmarks.gateway.stage import CHANNEL, Stage, staged
from tests.benchmarks.measure import Row, Section, at_most, quietness
from tests.benchmarks.plan import Plan
from tests.support.gateways import gateway_on
from tests.support.system import System, eventually

_MS: Final = 1e3
_SETTLE_S: Final = 2.0
_LOADED_S: Final = 600.0
_ENDED_S: Final = 1800.0
_LOOK_EVERY_S: Final = 2.0
_RUN_SYMBOLS: Final = tuple(f"SYN-{number:04}" for number in range(1, 101))
_TEN_A_SECOND: Final = 0.1
#: A connection that was silent for so long is closed; a frozen gateway is so for twice that.
_PING_TIMEOUT_S: Final = 30.0
_BACK_WITHIN_S: Final = 60.0


def measure(plan: Plan) -> Section:
    before = quietness()
    return Section(
        title="The gateway: what sockets live through",
        notes=(
            f"{plan.crowd} sockets that listen to the events of training, held by one process "
            f"beside a full run of the whole system over {len(_RUN_SYMBOLS)} symbols of "
            f"{plan.daily_rows} daily candles. The lag is from the time that an event bears to its "
            "receipt.",
            f"Then a gateway by itself, told of events ten times a second: one client of "
            f"{plan.sockets} that never reads; the gateway stopped (SIGSTOP) for twice the time "
            f"after which a silent client counts as dead, {plan.freezes} times; and it ended, by "
            f"SIGTERM and by SIGKILL, and started again, with {plan.crowd // 2} clients that come "
            f"back and say how far they had read. {before}",
        ),
        rows=(
            *uvloop.run(_through_a_run(plan)),
            *uvloop.run(_beside_the_deaf(plan)),
            *uvloop.run(_frozen(plan)),
            *(
                row
                for how in (signal.SIGTERM, signal.SIGKILL)
                for row in uvloop.run(_restarted(plan, how))
            ),
        ),
    )


async def _through_a_run(plan: Plan) -> tuple[Row, ...]:
    days = plan.daily_rows
    settings = {
        "EVERTRAIN_DEMO": "false",
        "AUTO_TRAINING_ENABLED": "false",
        "FULL_RETRAIN_ENABLED": "false",
        "CANDLE_INTERVAL_MINUTES": "1440",
        "DATA_PROVIDER": "synthetic",
        "SYMBOLS": ",".join(_RUN_SYMBOLS),
        "TIMEFRAME": "1d",
        "TRAIN_DAYS_BACK": str(days),
        "TRAIN_EPOCHS": str(plan.rounds),
        "FULL_TRAINING_MIN_DAYS": str(min(days, 90)),
    }
    with tempfile.TemporaryDirectory() as folder:
        async with whole.started(Path(folder), **settings) as system, remote("crowd") as clients:
            await _loaded(system, markets.with_history(days))
            await clients.ask("open", port=system.port, count=plan.crowd, channels=[CHANNEL])
            await clients.ask("mark")
            run = await system.ended(
                await system.trigger("full"), within=_ENDED_S, every=_LOOK_EVERY_S
            )
            await asyncio.sleep(_SETTLE_S)
            seen = await clients.ask("report")
    assert run["done"] == len(_RUN_SYMBOLS), run
    return (
        Row(what="a run beside sockets: closed", ours=seen["closed"], unit="", goal=at_most(0)),
        Row(what="events missing or doubled", ours=_wrong(seen), unit="", goal=at_most(0)),
        Row(what="events to each", ours=seen["fewest"], unit=""),
        Row(what="lag p99", ours=seen["lag"]["p99"] * _MS, unit="ms", goal=at_most(500)),
    )


async def _loaded(system: System, rows: int) -> None:
    async def loaded() -> bool:
        answer = await system.http.get("/api/v1/system/candles", params={"limit": 1000})
        series = answer.json() if answer.status_code == 200 else []
        return len([one for one in series if one["rows"] >= rows]) >= len(_RUN_SYMBOLS)

    await eventually(loaded, within=_LOADED_S, every=_LOOK_EVERY_S)


async def _beside_the_deaf(plan: Plan) -> tuple[Row, ...]:
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(staged())
        clients = await stack.enter_async_context(remote("crowd"))
        port = stage.gateway.port
        await clients.ask("open", port=port, count=plan.sockets, channels=[CHANNEL])
        events = 200 * plan.seconds
        await _told(stage, clients, events)  # what is made once
        alone = await _told(stage, clients, events)
        memory = own_mb(stage.pid)
        deaf = await clients.ask("ignore", port=port, channels=[CHANNEL])
        beside = await _told(stage, clients, events)
        kernel = _unsent(port, deaf["port"])
        own = max(0.0, own_mb(stage.pid) - memory) * 1024
    return (
        Row(
            what="lag p99 of the others, beside one that never reads",
            ours=beside["lag"]["p99"] * _MS,
            unit="ms",
            yardstick=alone["lag"]["p99"] * _MS,
            ratio=beside["lag"]["p99"] / alone["lag"]["p99"],
            goal=at_most(1.1),
        ),
        Row(
            what="held for it, in the kernel and in the process",
            ours=kernel / 1024 + own,
            unit="KB",
            goal=at_most(200),
        ),
    )


async def _told(stage: Stage, clients: Remote, events: int) -> dict[str, Any]:
    await clients.ask("mark")
    await stage.tell(events=events, every_s=0.02)
    await asyncio.sleep(_SETTLE_S)
    return dict(await clients.ask("report"))


def _unsent(server: int, client: int) -> int:
    """Bytes that the kernel holds for one connection (proc_net_tcp, tx_queue)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote_, _, queues = line.split()[:5]
        ports = int(local.partition(":")[2], 16), int(remote_.partition(":")[2], 16)
        if ports == (server, client):
            return int(queues.partition(":")[0], 16)
    return 0


async def _frozen(plan: Plan) -> tuple[Row, ...]:
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(staged())
        clients = await stack.enter_async_context(remote("crowd"))
        await clients.ask("open", port=stage.gateway.port, count=plan.sockets, channels=[CHANNEL])
        await clients.ask("mark")
        for _ in range(plan.freezes):
            os.kill(stage.pid, signal.SIGSTOP)
            await asyncio.sleep(2 * _PING_TIMEOUT_S)
            os.kill(stage.pid, signal.SIGCONT)
            await stage.tell(events=50, every_s=_TEN_A_SECOND)
        await asyncio.sleep(_SETTLE_S)
        seen = await clients.ask("report")
    return (
        Row(what="frozen: sockets closed", ours=seen["closed"], unit="", goal=at_most(0)),
        Row(what="frozen: missing or doubled", ours=_wrong(seen), unit="", goal=at_most(0)),
    )


async def _restarted(plan: Plan, how: signal.Signals) -> tuple[Row, ...]:
    """From the end of one gateway to the last client that is back at the next one."""
    count = plan.crowd // 2
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(staged())
        clients = await stack.enter_async_context(remote("crowd"))
        port = stage.gateway.port
        await clients.ask("open", port=port, count=count, channels=[CHANNEL])
        await clients.ask("mark", coming_back=True)
        async with asyncio.TaskGroup() as group:
            told = group.create_task(stage.tell(events=150, every_s=_TEN_A_SECOND))
            await asyncio.sleep(2.0)
            ended = time.time()
            os.kill(stage.pid, how)
            await asyncio.to_thread(stage.gateway.process.wait)
            await stack.enter_async_context(
                gateway_on(stage.folder / "next", stage.nats_url, GATEWAY_PORT=str(port))
            )
            await told
        seen = await _all_back(clients, count)
    name = how.name
    return (
        Row(what=f"{name}: missing or doubled", ours=_wrong(seen), unit="", goal=at_most(0)),
        Row(what=f"{name}: not recovered", ours=seen["unrecovered"], unit="", goal=at_most(0)),
        Row(
            what=f"{name}: all back after", ours=seen["back_at"] - ended, unit="s", goal=at_most(10)
        ),
        *(
            [Row(what=f"{name}: told to come back (1012)", ours=_share(seen, "1012"), unit="%")]
            if how is signal.SIGTERM
            else []
        ),
    )


async def _all_back(clients: Remote, count: int) -> dict[str, Any]:
    """Every client is there, and all have read equally far."""
    until = time.monotonic() + _BACK_WITHIN_S
    while True:
        seen = dict(await clients.ask("report"))
        done = seen["open"] == count and seen["positions"] == 1
        if done or time.monotonic() > until:
            return seen | {"missing": seen["missing"] + (0 if done else 1)}
        await asyncio.sleep(0.2)


def _wrong(seen: dict[str, Any]) -> int:
    return int(seen["missing"]) + int(seen["doubled"])


def _share(seen: dict[str, Any], code: str) -> float:
    return 100.0 * int(seen["codes"].get(code, 0)) / max(1, int(seen["closed"]))
