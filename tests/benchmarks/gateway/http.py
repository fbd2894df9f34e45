"""A cached prediction over HTTP: what a request costs the gateway, beside servers that do less."""

import tempfile
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import uvloop

from services.gateway.adapters import keys
from tests.benchmarks.gateway.remote import Remote, remote
from tests.benchmarks.gateway.stage import PATH, cpu_seconds, staged
from tests.benchmarks.measure import Row, Section, at_least, median
from tests.benchmarks.plan import Plan

_CONNECTIONS: Final = 32
_US: Final = 1e6
#: Counted like any other limit, and never reached.
_UNLIMITED: Final = "1000000"


def measure(plan: Plan) -> Section:
    return Section(
        title="The gateway: a cached prediction over HTTP",
        notes=(
            f"CPU time of the serving process for a request, {_CONNECTIONS} connections that ask "
            f"again at once, {plan.seconds} s a turn, medians of {plan.turns} turns one beside the "
            "other. Ours checks Host, Origin, key and limits, and gives an entity tag; the "
            "yardsticks send as many bytes and check nothing. 0.3 x is 3.3 times the cost.",
        ),
        rows=uvloop.run(_measured(plan)),
    )


async def _measured(plan: Plan) -> tuple[Row, ...]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        minted = keys.mint(Path(folder) / "keys.jsonl")
        assert minted
        settings = {"GATEWAY_REQUESTS_PER_S": _UNLIMITED, "GATEWAY_KEYS_FILE": str(minted.file)}
        stage = await stack.enter_async_context(staged(**settings))
        asked = urllib.request.Request(
            stage.gateway.url + PATH, headers={"Authorization": f"Bearer {minted.key}"}
        )
        with urllib.request.urlopen(asked) as answer:  # noqa: ASYNC210
            size = len(answer.read())
        callers = await stack.enter_async_context(remote("crowd"))
        raw = await stack.enter_async_context(remote("plain"))
        framework = await stack.enter_async_context(remote("plain"))
        raw_port = (await raw.ask("start", kind="raw", body_bytes=size))["port"]
        its_port = (await framework.ask("start", kind="framework", body_bytes=size))["port"]
        turns = [
            (
                await _cost(callers, stage.pid, stage.gateway.port, PATH, plan, key=minted.key),
                await _cost(callers, raw.pid, raw_port, "/", plan),
                await _cost(callers, framework.pid, its_port, "/answer", plan),
            )
            for _ in range(plan.turns)
        ]
    ours = median(own for own, _, _ in turns)
    return (
        Row(
            what=f"a request of {size} bytes, against a bare protocol of uvloop",
            ours=ours * _US,
            unit="us",
            yardstick=median(other for _, other, _ in turns) * _US,
            ratio=median(other / own for own, other, _ in turns),
            goal=at_least(0.30),
        ),
        Row(
            what="the same, against FastAPI's `Response(bytes)`",
            ours=ours * _US,
            unit="us",
            yardstick=median(other for _, _, other in turns) * _US,
            ratio=median(other / own for own, _, other in turns),
            goal=at_least(2.5),
        ),
    )


async def _cost(
    callers: Remote, pid: int, port: int, path: str, plan: Plan, *, key: str = ""
) -> float:
    """CPU seconds a request."""
    before = cpu_seconds(pid)
    done = await callers.ask(
        "hammer", port=port, path=path, connections=_CONNECTIONS, seconds=plan.seconds, key=key
    )
    return (cpu_seconds(pid) - before) / int(done["requests"])
