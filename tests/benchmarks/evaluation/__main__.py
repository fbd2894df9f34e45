"""`python -m tests.benchmarks.evaluation`: say in docs/evaluation.md how good the forecasts are."""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from services.trainer.domain.jobs import FitJob
from shared.contracts.configuration import Configuration
from shared.contracts.symbols import Symbol
from shared.model.candles import Candles
from shared.model.splits import adjusted
from shared.runtime.clock import from_ms, utc_now
from tests.benchmarks import report
from tests.benchmarks.evaluation.page import Market, Traded, page
from tests.benchmarks.evaluation.trades import Result, Trade, pooled, result, trades
from tests.benchmarks.evaluation.walk import FIRST_ROWS, Lesson, columns, walk
from tests.benchmarks.markets import daily
from tests.support.jobs import daily_job
from tests.support.markets import clustered, planted_signal

_PAGE: Final = Path("docs/evaluation.md")

#: A month of trading days.
_EVERY: Final = 21

#: Of each of the made-up markets, which are trained a quarter as often.
_MADE_UP: Final = 6
_MADE_UP_ROWS: Final = 1600
_STRENGTH: Final = 0.3

Series = Mapping[Symbol, Candles]
Lessons = Mapping[Symbol, list[Lesson]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How much is looked at."""

    job: FitJob
    every: int
    series: Series
    made_up_rows: int
    made_up: int


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.evaluation")
    parser.add_argument("--candles", type=Path, help="a folder of daily candles; else the bundled")
    parser.add_argument("--every", type=int, default=_EVERY, help="candles between trainings")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--no-write", dest="write", action="store_false", help="print only")
    options = parser.parse_args(arguments)
    market = daily(options.candles)
    evaluation = Evaluation(
        job=daily_job(),
        every=options.every,
        series={symbol: adjusted(candles)[0] for symbol, candles in market.series.items()},
        made_up_rows=_MADE_UP_ROWS,
        made_up=_MADE_UP,
    )
    # The numerical libraries read it when a child imports them.
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
        text = evaluated(evaluation, market.source, pool)
    text += f"\n`{_command(options)}`, {utc_now():%Y-%m-%d}. {report.machine()}.\n"
    if options.write:
        _PAGE.write_text(text)
    else:
        sys.stdout.write(text)


def _command(options: argparse.Namespace) -> str:
    """What does it again. A folder is the reader's own, so its name is left out."""
    folder = [] if options.candles is None else ["--candles DIR"]
    every = [] if options.every == _EVERY else [f"--every {options.every}"]
    changed = [*folder, *every]
    if not changed:
        return "make evaluation"
    return " ".join(["python -m tests.benchmarks.evaluation", *changed])


def evaluated(evaluation: Evaluation, source: str, pool: Executor) -> str:
    """The page."""
    lessons = _lessons(evaluation.series, evaluation, pool)
    seldom = replace(evaluation, every=4 * evaluation.every)
    made_up = {
        "Volatility in clusters, and nothing to foretell": _made_up(evaluation, planted=False),
        f"The volume foretells {_STRENGTH:g} standard deviations of the next return": _made_up(
            evaluation, planted=True
        ),
    }
    rules = Configuration()
    return page(
        _how(evaluation, lessons, source),
        [
            _market("Forecasts", evaluation.series, lessons, real=True),
            *(
                _market(title, series, _lessons(series, seldom, pool), real=False)
                for title, series in made_up.items()
            ),
        ],
        Traded(
            rules=rules,
            asked=_traded(evaluation, lessons, rules),
            unasked=_traded(evaluation, lessons, replace(rules, min_accuracy_target=0.0)),
        ),
    )


def _lessons(series: Series, evaluation: Evaluation, pool: Executor) -> Lessons:
    found: dict[Symbol, list[Lesson]] = {symbol: [] for symbol in series}
    for lessons in walk(series, evaluation.job, every=evaluation.every, pool=pool):
        for symbol, lesson in lessons.items():
            found[symbol].append(lesson)
    return {symbol: lessons for symbol, lessons in found.items() if lessons}


def _made_up(evaluation: Evaluation, *, planted: bool) -> Series:
    rows = evaluation.made_up_rows
    return {
        Symbol(f"SYN-{seed}"): (
            planted_signal(rows, strength=_STRENGTH, seed=seed)
            if planted
            else clustered(rows, seed=seed)
        )
        for seed in range(evaluation.made_up)
    }


def _market(title: str, series: Series, lessons: Lessons, *, real: bool) -> Market:
    return Market(
        title=title,
        real=real,
        columns=tuple(
            column
            for symbol, each in lessons.items()
            for column in columns(symbol, series[symbol], each)
        ),
    )


def _traded(evaluation: Evaluation, lessons: Lessons, rules: Configuration) -> tuple[Result, ...]:
    found: list[Trade] = []
    results = []
    for symbol, each in lessons.items():
        candles = evaluation.series[symbol]
        own = trades(symbol, evaluation.job.timeframe, candles, each, rules)
        results.append(result(symbol, own, candles, each, rules))
        found += own
    return (*results, pooled(found))


def _how(evaluation: Evaluation, lessons: Lessons, source: str) -> str:
    trainings = sum(map(len, lessons.values()))
    each = [
        from_ms(int(evaluation.series[symbol]["at"][lesson.rows[0]]))
        for symbol, found in lessons.items()
        for lesson in found[:1]
    ]
    return (
        f"How: {source}, splits undone. Beginning with {FIRST_ROWS} candles behind those that the "
        f"features need ({min(each):%Y-%m}), every symbol is trained in full after each "
        f"{evaluation.every} candles of the market's calendar ({trainings} trainings), by the code "
        "that trains in the product, and every candle up to the next training is forecast by the "
        "code that serves, which is given no candle beyond it. Settings and signal parameters are "
        "the defaults. In the product, models are younger: they are brought up to date every six "
        "hours and trained anew every week. `tests/unit/benchmarks/test_evaluation.py` changes the "
        "future and looks whether a forecast has changed."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
