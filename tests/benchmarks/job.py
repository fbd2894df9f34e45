"""One training job against the libraries alone, and against the loop that one writes first."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Final

import numpy as np

from services.trainer.domain.jobs import FitJob
from shared.model.candles import Candles
from tests.benchmarks import first_loop, markets
from tests.benchmarks.jobs import (
    HORIZONS,
    Exam,
    artifact,
    job_for,
    of_artifact,
    pooled_auc,
    standard_error,
)
from tests.benchmarks.library_calls import noted
from tests.benchmarks.markets import Market
from tests.benchmarks.measure import (
    Goal,
    Row,
    Section,
    at_least,
    at_most,
    in_turns,
    paired,
    seconds,
    times_less,
    times_more,
)
from tests.benchmarks.plan import Plan

#: One in so many of the candles behind the window is held out for the comparison of quality.
_HELD_OUT: Final = 4

#: A quarter-hourly window is worth so many daily ones, in rows that are judged on and in time.
_QUARTERLY_WORTH: Final = 5


def measure(plan: Plan) -> Section:
    daily = markets.daily(plan.candles)
    held = plan.quarter_rows // _HELD_OUT
    quarterly = markets.quarterly(plan.candles, markets.with_history(plan.quarter_rows + held))
    fewer = -(-plan.exams // _QUARTERLY_WORTH)
    return Section(
        title="A training job",
        notes=(
            "CPU time of one full job: features, four folds of walk-forward validation and the "
            "final fit of three boosters and the basic model over five horizons, packing and "
            "checks. Against the trainings of the libraries in that job, repeated bare by their "
            "own training functions on the same ready matrices: the same rows, labels and "
            "parameters, and all rounds that the job boosted, those behind the best among them.",
            "Then against the loop that one writes first (`tests/benchmarks/first_loop.py`), with "
            f"{plan.slow_rounds} rounds. The ROC AUC is of candles that come after both windows, "
            "pooled over windows of many symbols, or of many times where there are few symbols, "
            "none of which overlap; for it the loop fits its last models only, which are all that "
            "foretells.",
            f"On {daily.source}, and on {quarterly.source}.",
        ),
        rows=(
            *_rows(daily, plan.daily_rows, plan.exams, plan, at_most(1.05), at_least(25.0)),
            *_rows(quarterly, plan.quarter_rows, fewer, plan, at_most(1.15), at_least(13.0)),
        ),
    )


def _rows(
    market: Market, rows: int, exams: int, plan: Plan, overhead: Goal, saved: Goal
) -> Iterator[Row]:
    held = rows // _HELD_OUT
    series = market.spans(markets.with_history(rows + held))
    todo = [job_for(candles[:-held], market.timeframe, rows, plan.rounds) for candles in series]
    size = f"{rows:,} rows"
    yield _against_libraries(size, todo[0], series[0][:-held], plan.turns, overhead)

    turns = [
        _in_turn(job, candles[:-held], plan.slow_rounds)
        for job, candles in islice(zip(todo, series, strict=True), plan.slow_symbols)
    ]
    yield times_less(f"{size}: the first loop", paired(turns), "s", saved)
    yield _quality(size, todo[:exams], series[:exams], held, plan.slow_rounds)


def _against_libraries(size: str, job: FitJob, candles: Candles, turns: int, goal: Goal) -> Row:
    work = partial(artifact, job, candles)
    with noted() as calls:
        work()
    bare = in_turns(work, lambda: [call.bare() for call in calls], turns=turns)
    return times_more(f"{size}: the bare fits", bare, "s", goal)


def _in_turn(job: FitJob, candles: Candles, slow_rounds: int) -> tuple[float, float]:
    """The CPU seconds of the job and of the first loop."""
    loop = partial(first_loop.train, candles, HORIZONS, slow_rounds)
    return seconds(partial(artifact, job, candles)), seconds(loop)


def _quality(
    size: str, todo: list[FitJob], series: list[Candles], held: int, slow_rounds: int
) -> Row:
    exams = [Exam.of(candles, held) for candles in series]
    ours, theirs = [], []
    for job, candles, exam in zip(todo, series, exams, strict=True):
        known = candles[:-held]
        loop = first_loop.fitted(known, HORIZONS, slow_rounds)
        ours.append(of_artifact(artifact(job, known), exam))
        theirs.append(
            np.stack([first_loop.foreseen(loop[h], exam.features) for h in HORIZONS], axis=1)
        )
    auc = pooled_auc(exams, theirs)
    return Row(
        what=f"{size}: ROC AUC over {len(exams)} windows, within a standard error",
        ours=pooled_auc(exams, ours),
        unit="",
        yardstick=auc,
        goal=at_least(round(auc - standard_error(exams), 3)),
    )
