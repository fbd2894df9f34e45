"""The walk of the evaluation at a size of minutes, and its numbers against ones by hand."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from services.trainer.domain.scores import roc_auc
from shared.contracts.configuration import Configuration
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.model.candles import Candles
from shared.model.history import WARMUP
from tests.benchmarks.evaluation.__main__ import Evaluation, evaluated
from tests.benchmarks.evaluation.findings import coverage, joined, skill, weighted_area
from tests.benchmarks.evaluation.trades import Trade, pooled, result, trades
from tests.benchmarks.evaluation.walk import FIRST_ROWS, Column, Lesson, columns, walk
from tests.support.jobs import daily_job
from tests.support.markets import planted_signal, random_walk

JOB = daily_job(horizons=(1, 3, 7), rounds=10)
EVERY = 40
ROWS = WARMUP + FIRST_ROWS + 2 * EVERY + 20
SERIES = {
    Symbol("FORETOLD"): planted_signal(ROWS, strength=1.0),
    Symbol("WALK"): random_walk(ROWS, seed=1),
}


class Here(Executor):
    """Does at once what it is given."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*args, **kwargs))
        return done


def _walked(series: dict[Symbol, Candles]) -> dict[Symbol, list[Lesson]]:
    found: dict[Symbol, list[Lesson]] = {symbol: [] for symbol in series}
    for lessons in walk(series, JOB, every=EVERY, pool=Here()):
        for symbol, lesson in lessons.items():
            found[symbol].append(lesson)
    return found


@pytest.fixture(scope="module")
def walked() -> dict[Symbol, list[Lesson]]:
    return _walked(SERIES)


def test_every_row_that_is_judged_is_later_than_all_that_was_learnt_and_its_labels(
    walked: dict[Symbol, list[Lesson]],
) -> None:
    for lessons in walked.values():
        assert len(lessons) == 2
        assert lessons[-1].rows.stop == ROWS
        for lesson in lessons:
            assert lesson.rows.start > lesson.learnt_to + JOB.horizons[-1]
        for before, after in pairwise(lessons):
            assert before.rows.stop == after.rows.start


def test_nothing_that_comes_later_changes_a_forecast(walked: dict[Symbol, list[Lesson]]) -> None:
    """The market goes another way from the middle of the second lesson on."""
    turn = walked[Symbol("WALK")][1].rows[EVERY // 2]
    turned = {}
    for symbol, candles in SERIES.items():
        turned[symbol] = candles.copy()
        for name in ("open", "high", "low", "close"):
            turned[symbol][name][turn:] *= 1.0 + 0.1 * random_walk(ROWS - turn, seed=9)["close"]
    for symbol, lessons in _walked(turned).items():
        for ours, theirs in zip(lessons[:2], walked[symbol][:2], strict=True):
            rows = [row for row in ours.rows if row < turn]
            assert ours.scores == theirs.scores
            assert ours.forecasts[: len(rows)] == theirs.forecasts[: len(rows)]
        assert lessons[1].forecasts != walked[symbol][1].forecasts


def test_what_can_be_foretold_is_found_and_what_cannot_is_not(
    walked: dict[Symbol, list[Lesson]],
) -> None:
    areas = {
        symbol: skill(columns(symbol, SERIES[symbol], lessons)[0], symbol).roc_auc
        for symbol, lessons in walked.items()
    }
    assert areas[Symbol("FORETOLD")].low > 0.5
    assert areas[Symbol("WALK")].low < 0.5 < areas[Symbol("WALK")].high


def test_the_page_says_nothing_that_is_no_number() -> None:
    series = {symbol: candles[-FIRST_ROWS - WARMUP - 60 :] for symbol, candles in SERIES.items()}
    evaluation = Evaluation(
        job=daily_job(horizons=(1, 3), rounds=2),
        every=50,
        series=series,
        made_up_rows=WARMUP + FIRST_ROWS + 210,
        made_up=1,
    )
    page = evaluated(evaluation, "made-up candles", Here())
    assert "nan" not in page
    assert "inf" not in page
    for word in ("ROC AUC", "FORETOLD", "held", "slope", "owning"):
        assert word in page


def test_with_every_row_once_the_area_is_the_products() -> None:
    rng = np.random.default_rng(0)
    risen = rng.integers(0, 2, 200).astype(float)
    said = rng.integers(0, 20, 200) / 20.0
    assert weighted_area(risen, said, np.ones(200)) == pytest.approx(roc_auc(risen, said))
    twice = rng.integers(0, 3, 200)
    again = np.repeat(np.arange(200), twice)
    expected = roc_auc(risen[again], said[again])
    assert weighted_area(risen, said, twice.astype(float)) == pytest.approx(expected)


def test_pooled_intervals_are_those_of_all_symbols() -> None:
    one, other = _column(held=30, of=40), _column(held=10, of=40)
    found = coverage(joined([one, other]), None, 1)
    assert found.held.value == 50.0
    assert (found.below, found.above) == (0.0, 50.0)


def _column(*, held: int, of: int) -> Column:
    rows = np.arange(of)
    return Column(
        symbol=Symbol("MADE-UP"),
        horizon=1,
        at=rows * 86_400_000,
        p_up=np.full(of, 0.5),
        returns=np.where(rows < held, 0.5, 2.0),
        low=np.full(of, -1.0),
        high=np.full(of, 1.0),
        base=np.full(of, 0.5),
        atr_times=1.0 + rows / of,
    )


def test_a_signal_ends_before_the_next_one_begins(walked: dict[Symbol, list[Lesson]]) -> None:
    rules = replace(Configuration(), min_accuracy_target=0.0, min_net_profit_pct=0.0)
    symbol, candles = Symbol("FORETOLD"), SERIES[Symbol("FORETOLD")]
    found = trades(symbol, Timeframe.D1, candles, walked[symbol], rules)
    assert len(found) > 5
    for trade, following in pairwise(found):
        apart = (following.at_ms - trade.at_ms) / 86_400_000
        assert apart >= trade.days + rules.signal_cooldown_candles


def test_a_purse_goes_into_every_signal_with_all_there_is() -> None:
    candles = random_walk(WARMUP + 12)
    candles["open"][:], candles["close"][:] = 100.0, 100.0
    candles["close"][WARMUP + 5] = 50.0
    candles["close"][-1] = 120.0
    rows = range(WARMUP, WARMUP + 12)
    lesson = Lesson(learnt_to=0, up_share={}, scores=(), rows=rows, forecasts=())
    found = [
        Trade(at_ms=day * 86_400_000, net_pct=net, leverage=1.0, days=2.0)
        for day, net in ((0, 10.0), (3, -50.0), (6, 20.0))
    ]
    free = replace(Configuration(), fee_pct=0.0, slippage_pct=0.0)
    told = result(Symbol("MADE-UP"), found, candles, [lesson], free)
    assert told.total_pct == pytest.approx(100 * (1.1 * 0.5 * 1.2 - 1.0))
    assert told.drawdown_pct == pytest.approx(50.0)
    assert told.owning_pct == pytest.approx(20.0)
    assert told.owning_drawdown_pct == pytest.approx(50.0)
    assert told.in_market == pytest.approx(6 / 11)
    assert pooled(found).hit_rate == pytest.approx(2 / 3)
    assert pooled([]).mean_net_pct is None
