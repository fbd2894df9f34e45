"""Two training processes against one, through the pool that the trainer uses."""

import asyncio
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


def measure(plan: Plan) -> Section:
    before = quietness()
    daily = markets.daily(plan.candles)
    candles = daily.long_enough(markets.with_history(plan.daily_rows))[0]
    job = job_for(candles, daily.timeframe, plan.daily_rows, plan.rounds)
    jobs = min(_JOBS, plan.jobs)
    turns = asyncio.run(_turns(job, candles, jobs, max(plan.turns // 2, 1)))
    return Section(
        title="Two training processes",
        notes=(
            f"Wall time of {jobs} jobs of {plan.daily_rows} rows, each in a child of its own: two "
            f"at a time against one at a time (the yardstick), in turns. On {daily.source}.",
            f"Children run when nothing else wants to, so other work shows at once. {before}",
        ),
        rows=(times_less(f"{jobs} jobs", paired(turns), "s", at_least(1.8)),),
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
