"""What a training child takes at most, and whether anything is left of it afterwards."""

import asyncio
import contextlib
import os
from typing import Final

import psutil

from services.trainer.adapters.pool import TrainingPool
from services.trainer.domain.jobs import FitJob
from shared.model.candles import Candles
from tests.benchmarks import markets
from tests.benchmarks.children import FORK_SERVER, descendants, own_mb, watched
from tests.benchmarks.jobs import MEMORY_MB, in_child, job_for
from tests.benchmarks.markets import Market
from tests.benchmarks.measure import Row, Section, at_most
from tests.benchmarks.plan import Plan

#: Jobs before the first look: pages that are touched once and stay.
_SETTLING: Final = 3


def measure(plan: Plan) -> Section:
    daily = markets.daily(plan.candles)
    quarterly = markets.quarterly(plan.candles, markets.with_history(plan.quarter_rows))
    return Section(
        title="Memory of training",
        notes=(
            "The peak of a job's process, looked at every 50 ms: PSS counts the pages that it "
            "shares with the fork server in parts, RSS counts them as its own.",
            f"Then {plan.jobs} more jobs one after another, each in a child of its own, and how "
            "much memory of their own those have more than before that stay. "
            f"On {daily.source}, and on {quarterly.source}.",
        ),
        rows=tuple(asyncio.run(_measured(daily, quarterly, plan))),
    )


async def _measured(daily: Market, quarterly: Market, plan: Plan) -> list[Row]:
    rows: list[Row] = []
    async with TrainingPool(1, memory_mb=MEMORY_MB) as pool:
        for market, size in ((daily, plan.daily_rows), (quarterly, plan.quarter_rows)):
            candles = market.long_enough(markets.with_history(size))[0]
            job = job_for(candles, market.timeframe, size, plan.rounds)
            rows += await _peaks(pool, job, candles, size)
        candles = daily.long_enough(markets.with_history(plan.daily_rows))[0]
        job = job_for(candles, daily.timeframe, plan.daily_rows, rounds=min(plan.rounds, 10))
        rows += await _growth(pool, job, candles, plan.jobs)
    return rows


async def _peaks(pool: TrainingPool, job: FitJob, candles: Candles, rows: int) -> list[Row]:
    async with watched(_training) as peak:
        await in_child(pool, job, candles)
    return [
        Row(what=f"a job of {rows:,} rows, peak PSS", ours=peak.pss, unit="MB"),
        Row(what=f"a job of {rows:,} rows, peak RSS", ours=peak.rss, unit="MB"),
    ]


async def _growth(pool: TrainingPool, job: FitJob, candles: Candles, jobs: int) -> tuple[Row, Row]:
    for _ in range(min(_SETTLING, jobs)):
        await in_child(pool, job, candles)
    (server,) = (pid for pid, parent in _forked().items() if parent == os.getpid())
    before = own_mb(server), own_mb(os.getpid())
    for _ in range(jobs):
        await in_child(pool, job, candles)
    return (
        Row(
            what=f"the fork server after {jobs} more jobs",
            ours=own_mb(server) - before[0],
            unit="MB",
            goal=at_most(1.0),
        ),
        Row(
            what=f"the process that started it after {jobs} more jobs",
            ours=own_mb(os.getpid()) - before[1],
            unit="MB",
            goal=at_most(1.0),
        ),
    )


def _training() -> list[int]:
    """Children of the fork server, which share its command line."""
    return [pid for pid, parent in _forked().items() if parent != os.getpid()]


def _forked() -> dict[int, int]:
    """Process ids and those of their parents; what ends meanwhile is left out."""
    parents = {}
    for process in descendants(os.getpid(), FORK_SERVER):
        with contextlib.suppress(psutil.NoSuchProcess):
            parents[process.pid] = process.ppid()
    return parents
