"""Two training processes against one, through the pool that the trainer uses."""

import asyncio
import sys
from dataclasses import replace
from typing import Final

from services.trainer.adapters.pool import TrainingPool
from services.trainer.domain.jobs import FitJob
from shared.contracts.symbols import Symbol
from shared.model.candles import Candles
from tests.benchmarks import markets
from tests.benchmarks.jobs import MEMORY_MB, in_child, job_for
from tests.benchmarks.measure import (
    WALL,
    Section,
    at_least,
    paired,
    quietness,
    times_less,
)
from tests.benchmarks.plan import Plan

_JOBS: Final = 8

#: About a second; it needs neither memory nor anyone else.
_ARITHMETIC: Final = "sum(number * number for number in range({}))"
_NUMBERS: Final = 10_000_000


def measure(plan: Plan) -> Section:
    before = quietness()
    daily = markets.daily(plan.candles)
    candles = daily.long_enough(markets.with_history(plan.daily_rows))[0]
    job = job_for(candles, daily.timeframe, plan.daily_rows, plan.rounds)
    jobs = min(_JOBS, plan.jobs)
    repeats = max(plan.turns // 2, 1)
    turns = asyncio.run(_turns(job, candles, jobs, repeats))
    bare = asyncio.run(_bare_turns(_NUMBERS if plan.turns > 1 else 1000, repeats))
    return Section(
        title="Two training processes",
        notes=(
            f"Wall time of {jobs} jobs of {plan.daily_rows} rows, each in a child of its own: two "
            f"at a time against one at a time (the yardstick), in turns. On {daily.source}.",
            f"Children run when nothing else wants to, so other work shows at once. {before}",
            "Then what the two cores are worth to processes that share nothing: two that only "
            "count, beside each other and one after the other.",
        ),
        rows=(
            times_less(f"{jobs} jobs", paired(turns), "s", at_least(1.8)),
            times_less("two processes that count", paired(bare), "s"),
        ),
    )


async def _turns(job: FitJob, candles: Candles, jobs: int, turns: int) -> list[tuple[float, float]]:
    async with (
        TrainingPool(2, memory_mb=MEMORY_MB) as two,
        TrainingPool(1, memory_mb=MEMORY_MB) as one,
    ):
        for pool in (two, one):
            await pool.isolation()  # which waits until its libraries are imported
        return [
            (
                await _seconds(two, job, candles, jobs),
                await _seconds(one, job, candles, jobs),
            )
            for _ in range(turns)
        ]


async def _seconds(pool: TrainingPool, job: FitJob, candles: Candles, jobs: int) -> float:
    started = WALL()
    async with asyncio.TaskGroup() as group:
        for number in range(jobs):
            one = replace(job, symbol=Symbol(f"JOB-{number}"))
            group.create_task(in_child(pool, one, candles))
    return WALL() - started


async def _bare_turns(numbers: int, turns: int) -> list[tuple[float, float]]:
    return [(await _counted(numbers, 2), await _counted(numbers, 1)) for _ in range(turns)]


async def _counted(numbers: int, at_once: int) -> float:
    """The time of two processes, so many at once."""
    free = asyncio.Semaphore(at_once)

    async def count() -> None:
        async with free:
            code = _ARITHMETIC.format(numbers)
            process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", code)
            await process.wait()

    started = WALL()
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(count())
    return WALL() - started
