"""The memory of the whole system, idle and while two children train."""

import tempfile
from pathlib import Path
from typing import Final

import uvloop

from tests.benchmarks import whole
from tests.benchmarks.children import pss_mb, rss_mb, watched
from tests.benchmarks.measure import Row, Section, at_most
from tests.benchmarks.plan import Plan
from tests.support.system import System, eventually

#: The fork server is sent to rest after a minute without a job.
_AT_REST_S: Final = 150.0
_TRAINED_S: Final = 300.0


def measure(plan: Plan) -> Section:
    with tempfile.TemporaryDirectory() as folder:
        rows = uvloop.run(_measured(Path(folder), plan))
    return Section(
        title="Memory of the system",
        notes=(
            "`evertrain up --demo` with two training processes, on the bundled market: PSS, where "
            "pages that processes share are counted once, and the RSS beside it. Idle is after the "
            "first training, when the fork server has gone to rest; training is the peak of "
            f"{_runs(plan)} full runs over four symbols.",
        ),
        rows=rows,
    )


async def _measured(folder: Path, plan: Plan) -> tuple[Row, ...]:
    settings = {"TRAINER_PROCESSES": "2", "FULL_RETRAIN_ENABLED": "false"}
    async with whole.started(folder, **settings) as system:
        await system.serves(within=_TRAINED_S)
        if plan.turns > 1:
            await _rested(system)
        idle = [_part(name, whole.part(system, name)) for name in whole.PARTS]
        idle.append(_part("supervisor", [system.process.pid]))
        everything = whole.pids(system)
        idle_pss, idle_rss = pss_mb(everything), rss_mb(everything)
        async with watched(lambda: whole.pids(system)) as peak:
            for _ in range(_runs(plan)):
                await system.ended(await system.trigger("full"), within=_TRAINED_S)
    return (
        *idle,
        Row(what="all, idle", ours=idle_pss, unit="MB", goal=at_most(150.0)),
        Row(what="all, idle, RSS", ours=idle_rss, unit="MB"),
        Row(what="all, two children training", ours=peak.pss, unit="MB", goal=at_most(500.0)),
        Row(what="all, two children training, RSS", ours=peak.rss, unit="MB"),
    )


def _runs(plan: Plan) -> int:
    return min(plan.turns, 3)


async def _rested(system: System) -> None:
    """Until the fork server has ended."""

    async def rested() -> bool:
        return not whole.training(system)

    await eventually(rested, within=_AT_REST_S)


def _part(name: str, pids: list[int]) -> Row:
    return Row(what=f"{name}, idle", ours=pss_mb(pids), unit="MB")
