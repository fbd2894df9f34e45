"""One training job against the libraries alone, and against the loop that one writes first."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np

from services.trainer.domain.jobs import FitJob
from shared.model.candles import Candles
from tests.benchmarks import first_loop, markets
from tests.benchmarks.jobs import (
    HORIZONS,
    Exam,
    Foreseen,
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
    times_less,
    times_more,
)
from tests.benchmarks.plan import Plan

#: One in so many of the candles behind the window is held out for the comparison of quality.
_HELD_OUT: Final = 4


def measure(plan: Plan) -> Section:
    daily = markets.daily(plan.candles)
    held = plan.quarter_rows // _HELD_OUT
    quarterly = markets.quarterly(plan.candles, markets.with_history(plan.quarter_rows + held))
    return Section(
        title="A training job",
        notes=(
            "CPU time of one full job: features, four folds of walk-forward validation and the "
            "final fit of three boosters and the basic model over five horizons, packing and "
            "checks. Against the trainings of the libraries in that job, repeated bare on the "
            "same ready matrices (the same rows, labels, parameters and rounds), and repeated as "
            "they were, watching validation rows for early stopping.",
            "Then against the loop that one writes first (`tests/benchmarks/first_loop.py`), with "
            f"{plan.slow_rounds} rounds. The ROC AUC is of candles that come after both windows, "
            f"pooled over {plan.slow_symbols} symbols: the same model on chance alone has 0.5.",
            f"On {daily.source}, and on {quarterly.source}.",
        ),
        rows=(
            *_rows(daily, plan.daily_rows, plan, at_most(1.05), at_least(25.0)),
            *_rows(quarterly, plan.quarter_rows, plan, at_most(1.15), at_least(13.0)),
        ),
    )


def _rows(market: Market, rows: int, plan: Plan, overhead: Goal, saved: Goal) -> Iterator[Row]:
    held = rows // _HELD_OUT
    series = market.long_enough(markets.with_history(rows + held))[: plan.slow_symbols]
    known = [candles[:-held] for candles in series]
    todo = [job_for(candles, market.timeframe, rows, plan.rounds) for candles in known]
    size = f"{rows:,} rows"
    yield from _against_libraries(size, todo[0], known[0], plan.turns, overhead)

    exams = [Exam.of(candles, held) for candles in series]
    results = [_in_turn(*each, plan) for each in zip(todo, known, exams, strict=True)]
    turns, ours, theirs = (list(each) for each in zip(*results, strict=True))
    yield times_less(f"{size}: the first loop", paired(turns), "s", saved)
    auc = pooled_auc(exams, theirs)
    yield Row(
        what=f"{size}: ROC AUC, within a standard error",
        ours=pooled_auc(exams, ours),
        unit="",
        yardstick=auc,
        goal=at_least(round(auc - standard_error(exams), 3)),
    )


def _against_libraries(
    size: str, job: FitJob, candles: Candles, turns: int, goal: Goal
) -> Iterator[Row]:
    work = partial(artifact, job, candles)
    with noted() as calls:
        work()
    bare = in_turns(work, lambda: [call.bare() for call in calls], turns=turns)
    yield times_more(f"{size}: the bare fits", bare, "s", goal)
    watched = in_turns(work, lambda: [call.watched() for call in calls], turns=turns)
    yield times_more(f"{size}: the fits with early stopping", watched, "s")


def _in_turn(
    job: FitJob, candles: Candles, exam: Exam, plan: Plan
) -> tuple[tuple[float, float], Foreseen, Foreseen]:
    """The CPU seconds of the job and of the first loop, and what they foresee in the exam."""
    started = time.process_time()
    ours = artifact(job, candles)
    between = time.process_time()
    loop = first_loop.train(candles, HORIZONS, plan.slow_rounds)
    ended = time.process_time()
    theirs = [first_loop.foreseen(loop[horizon], exam.features) for horizon in HORIZONS]
    return (
        (between - started, ended - between),
        of_artifact(ours, exam),
        np.stack(theirs, axis=1),
    )
