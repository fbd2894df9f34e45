"""What a search for signal parameters costs, what it finds where something was planted, and how
often it finds something where there is nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from services.trainer.domain import grid
from services.trainer.domain.evolution import WINDOWS, search
from services.trainer.domain.jobs import Inputs
from services.trainer.fit import fit
from shared.contracts.terms import Timeframe
from shared.contracts.trading import ParameterSearch, SignalParameters, TradingTerms
from shared.model.history import WARMUP
from tests.benchmarks.measure import Row, Section, at_least, at_most, in_turns, times_less
from tests.benchmarks.plan import Plan
from tests.support.jobs import daily_job
from tests.support.markets import random_walk
from tests.support.one_by_one import trades_of
from tests.support.planted_edge import BEST, HORIZONS, Told, aimless, planted_edge

#: Where nothing is to be paid, a search is most easily misled.
_FREE: Final = TradingTerms(fee_pct=0.0, slippage_pct=0.0, min_net_profit_pct=0.0)

_STARTS: Final = (
    SignalParameters(min_confidence=0.54),
    SignalParameters(take_profit_atr=1.5, stop_loss_atr=1.0, min_confidence=0.54, holding=14),
    SignalParameters(take_profit_atr=6.0, stop_loss_atr=4.0, min_confidence=0.54, holding=30),
)
_RIGHT: Final = 0.8
_SEARCHES: Final = 3
_PLANTED_ROWS: Final = 4000
_AIMLESS_ROWS: Final = 2000
_TEST_DAYS: Final = 30


def measure(plan: Plan) -> Section:
    sizes = ((plan.daily_rows, Timeframe.D1), (plan.quarter_rows, Timeframe.M15))
    return Section(
        title="Evolution of signal parameters",
        notes=(
            "CPU time. One search beside the full training that it is a part of, on a random walk; "
            "and each set of parameters beside the same signals given and settled one by one by "
            "the predictor's rules.",
            f"Nothing to be found: {plan.walks} random walks of {_AIMLESS_ROWS:,} candles with "
            f"forecasts made up beside them, and {plan.true_symbols} of {plan.true_rows:,} candles "
            "with those of models trained on them; without costs, where luck would pay.",
            f"Something planted: sure forecasts of which {_RIGHT:.0%} are right, and after which "
            "the price takes the same course (see `tests/support/planted_edge.py`). "
            f"{plan.walks} times, from {len(_STARTS)} places in turn, {_SEARCHES} searches, each "
            f"on {_PLANTED_ROWS:,} new candles. Near the best: the same holding time, and "
            "take-profit and stop-loss at most one place of the grid away.",
        ),
        rows=(
            *(_cost(plan, rows, timeframe) for rows, timeframe in sizes),
            _one_by_one(plan),
            *_found_in_nothing(plan),
            *_found_where_planted(plan),
        ),
    )


def _cost(plan: Plan, rows: int, timeframe: Timeframe) -> Row:
    days = -(-rows * timeframe.seconds // 86_400)
    test_days = max(min(_TEST_DAYS, days // 6), 1)
    job = daily_job(days_back=days, min_days=1, test_days=test_days, rounds=plan.rounds)
    job = replace(job, timeframe=timeframe)
    candles = random_walk(rows + WARMUP, timeframe=timeframe).tobytes()
    tested = 4 * test_days * timeframe.per_day
    told = aimless(0, tested)
    pair = in_turns(
        partial(_searched, told, SignalParameters(), TradingTerms(), timeframe),
        lambda: fit(job, Inputs(candles=candles), lambda *_: None),
        turns=min(plan.turns, 2),
        times=(10, 1),
    )
    what = f"{rows:,} rows, {tested:,} of them unseen: a search, against the whole training"
    return times_less(what, pair, "ms", at_least(20.0))


def _one_by_one(plan: Plan) -> Row:
    told = planted_edge(plan.signal_rows // 8, seed=0, right=_RIGHT)
    axes = grid.within_reach(_STARTS[0], HORIZONS)
    tried = len(grid.sets(axes))

    def settle() -> None:
        trades_of(
            *told,
            timeframe=Timeframe.M15,
            horizons=HORIZONS,
            parameters=_STARTS[0],
            terms=TradingTerms(),
            window=range(len(told.p_up)),
        )

    pair = in_turns(
        lambda: _searched(told, _STARTS[0], TradingTerms()), settle, turns=min(plan.turns, 2)
    )
    each = replace(pair, ours=pair.ours / tried, ratio=pair.ratio * tried)
    return times_less(f"{len(told.p_up):,} rows: one of {tried} sets", each, "us", at_least(100.0))


def _found_in_nothing(plan: Plan) -> Iterator[Row]:
    walks = (aimless(seed, _AIMLESS_ROWS) for seed in range(plan.walks))
    found = [_searched(told, SignalParameters(), _FREE) for told in walks]
    yield _adopted("random walks: searches that adopt something", found)
    trained = [_trained(plan, seed) for seed in range(plan.true_symbols)]
    yield _adopted("random walks, forecasts of trained models: the same", trained)


def _trained(plan: Plan, seed: int) -> ParameterSearch:
    job = daily_job(
        days_back=plan.true_rows,
        min_days=1,
        test_days=plan.true_rows // (WINDOWS + 1),
        rounds=plan.rounds,
    )
    job = replace(job, plan=replace(job.plan, terms=_FREE))
    candles = random_walk(plan.true_rows + WARMUP, seed=seed)
    found = fit(job, Inputs(candles=candles.tobytes()), lambda *_: None).search
    assert found is not None
    return found


def _adopted(what: str, found: Sequence[ParameterSearch]) -> Row:
    share = sum(each.adopted for each in found) / len(found)
    return Row(what=what, ours=100.0 * share, unit="%", goal=at_most(5.0))


def _found_where_planted(plan: Plan) -> Iterator[Row]:
    found = [_evolved(_STARTS[turn % len(_STARTS)], turn) for turn in range(plan.walks)]
    away = [
        (
            _places(f.take_profit_atr, BEST.take_profit_atr),
            _places(f.stop_loss_atr, BEST.stop_loss_atr),
        )
        for f in found
    ]
    near = [
        each.holding == BEST.holding and max(places) <= 1
        for each, places in zip(found, away, strict=True)
    ]
    yield Row(
        what="planted: searches that end near the best",
        ours=100.0 * float(np.mean(near)),
        unit="%",
        goal=at_least(90.0),
    )
    for name, places in zip(("take-profit", "stop-loss"), zip(*away, strict=True), strict=True):
        mean = float(np.mean(places))
        yield Row(what=f"planted: places from the best {name}, mean", ours=mean, unit="places")


def _evolved(present: SignalParameters, turn: int) -> SignalParameters:
    for number in range(_SEARCHES):
        told = planted_edge(_PLANTED_ROWS, seed=turn * _SEARCHES + number, right=_RIGHT)
        found = _searched(told, present, TradingTerms())
        present = found.after if found.adopted else present
    return present


def _places(found: float, best: float) -> int:
    return abs(grid.LEVELS.index(found) - grid.LEVELS.index(best))


def _searched(
    told: Told,
    present: SignalParameters,
    terms: TradingTerms,
    timeframe: Timeframe = Timeframe.M15,
) -> ParameterSearch:
    return search(*told, timeframe=timeframe, horizons=HORIZONS, present=present, terms=terms)
