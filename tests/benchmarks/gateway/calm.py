"""What clients notice of a training that takes every core."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import uvloop

from shared.runtime.tasks import alongside
from tests.benchmarks.gateway.remote import Remote, remote
from tests.benchmarks.gateway.stage import CHANNEL, PATH, Stage, staged
from tests.benchmarks.measure import Goal, Row, Section, at_least, at_most, median, quietness
from tests.benchmarks.plan import Plan

_EVERY_S: Final = 0.02
_BROADCASTS_S: Final = 0.1
_MS: Final = 1e3
#: What a p99 may be longer, besides the ratio, in seconds.
_ALLOWED_S: Final = 0.0003
_BURST: Final = 100
_STATES: Final = ("quiet", "training", "ordinary")


@dataclass(slots=True)
class _Seen:
    """The p99s and the rate of one state, one a turn. Seconds, and deliveries a second."""

    http: list[float] = field(default_factory=list)
    ping: list[float] = field(default_factory=list)
    http_told: list[float] = field(default_factory=list)
    ping_told: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)


def measure(plan: Plan) -> Section:
    before = quietness()
    quiet, training, ordinary = uvloop.run(_measured(plan))
    return Section(
        title="The gateway while training takes every core",
        notes=(
            f"Wall time as clients see it, p99 of {_asked(plan)} questions, medians of "
            f"{plan.turns} turns: without training, with a job on each core as a trainer runs them "
            "(SCHED_IDLE), and with the same jobs at the priority that processes have by default. "
            f"The clients share the cores. {plan.sockets} sockets listen; broadcasts come ten a "
            "second. From each p99 while training 0.3 ms are taken off before it is divided by the "
            f"one without, the yardstick. {before}",
        ),
        rows=(
            _beside("HTTP p99", training.http, quiet.http, at_most(1.5)),
            _beside("ping p99", training.ping, quiet.ping, at_most(1.5)),
            _beside("HTTP p99, broadcasts", training.http_told, quiet.http_told, at_most(1.5)),
            _beside("ping p99, broadcasts", training.ping_told, quiet.ping_told, at_most(1.5)),
            _beside("HTTP p99, ordinary priority", ordinary.http, quiet.http),
            _beside("ping p99, ordinary priority", ordinary.ping, quiet.ping),
            _beside("HTTP p99, broadcasts, ordinary", ordinary.http_told, quiet.http_told),
            _beside("ping p99, broadcasts, ordinary", ordinary.ping_told, quiet.ping_told),
            Row(
                what="deliveries a second, events as fast as they go",
                ours=median(training.rate),
                unit="a second",
                yardstick=median(quiet.rate),
                ratio=median(a / b for a, b in zip(training.rate, quiet.rate, strict=True)),
                goal=at_least(0.8),
            ),
        ),
    )


def _beside(what: str, busy: list[float], quiet: list[float], goal: Goal | None = None) -> Row:
    ratios = (max(0.0, a - _ALLOWED_S) / b for a, b in zip(busy, quiet, strict=True))
    return Row(
        what=what,
        ours=median(busy) * _MS,
        unit="ms",
        yardstick=median(quiet) * _MS,
        ratio=median(ratios),
        goal=goal,
    )


async def _measured(plan: Plan) -> tuple[_Seen, ...]:
    seen = {state: _Seen() for state in _STATES}
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(staged())
        listeners = await stack.enter_async_context(remote("crowd"))
        callers = await stack.enter_async_context(remote("crowd"))
        await listeners.ask("open", port=stage.gateway.port, count=plan.sockets, channels=[CHANNEL])
        await callers.ask("open", port=stage.gateway.port, count=10, channels=[])
        for _ in range(plan.turns):
            for state in _STATES:
                async with _state(state):
                    await _look(stage, listeners, callers, plan, seen[state])
    return tuple(seen.values())


@asynccontextmanager
async def _state(state: str) -> AsyncIterator[None]:
    if state == "quiet":
        yield
        return
    async with remote("busy") as busy:
        await busy.ask("train", ordinary=state == "ordinary")
        yield
        trained = await busy.ask("rest")
        assert trained["jobs"], "nothing was trained meanwhile"


async def _look(stage: Stage, listeners: Remote, callers: Remote, plan: Plan, seen: _Seen) -> None:
    seen.http.append(await _http(stage, callers, plan))
    seen.ping.append(await _ping(callers, plan))
    telling = stage.tell(events=10 * 3600, every_s=_BROADCASTS_S)
    async with alongside(telling, name="broadcasts"):
        seen.http_told.append(await _http(stage, callers, plan))
        seen.ping_told.append(await _ping(callers, plan))
    await asyncio.sleep(1.0)
    await listeners.ask("mark")
    async with asyncio.TaskGroup() as group:
        heard = group.create_task(listeners.ask("heard", events=_BURST))
        await stage.tell(events=_BURST, every_s=0.0)
    seen.rate.append(_BURST * plan.sockets / heard.result()["seconds"])


async def _http(stage: Stage, callers: Remote, plan: Plan) -> float:
    found = await callers.ask(
        "trickle", port=stage.gateway.port, path=PATH, count=_asked(plan), every_s=_EVERY_S
    )
    return float(found["p99"])


async def _ping(callers: Remote, plan: Plan) -> float:
    found = await callers.ask("ping", count=_asked(plan), every_s=_EVERY_S)
    return float(found["p99"])


def _asked(plan: Plan) -> int:
    return 100 * plan.seconds
