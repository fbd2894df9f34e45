"""Our features against the same features in pandas."""

from functools import partial
from typing import Final

from shared.model.candles import Candles
from shared.model.features import FEATURES, Market, matrix
from shared.model.history import WARMUP
from tests.benchmarks import markets, pandas_features
from tests.benchmarks.measure import Row, Section, at_least, in_turns, times_less
from tests.benchmarks.plan import Plan

#: Of 730 rows; longer series need fewer to be measured well.
_TIMES: Final = 20


def measure(plan: Plan) -> Section:
    daily = markets.daily(plan.candles)
    rows = markets.with_history(plan.quarter_rows)
    quarterly = markets.quarterly(plan.candles, rows)
    short = daily.long_enough(markets.with_history(plan.daily_rows))[0]
    long = quarterly.long_enough(rows)[0]
    return Section(
        title="Features",
        notes=(
            f"CPU time of all {len(FEATURES)} features of one symbol, ours against pandas with the "
            "same definitions and windows (`tests/benchmarks/pandas_features.py`), on "
            f"{daily.source}, and on {quarterly.source}.",
            "pandas computes three of them window by window in Python; the second line leaves "
            "these three out on both sides.",
        ),
        rows=(*_compared(short, plan, _TIMES), *_compared(long, plan, 3)),
    )


def _compared(candles: Candles, plan: Plan, times: int) -> tuple[Row, ...]:
    rows = f"{len(candles) - WARMUP:,} rows"
    times = times if plan.turns > 1 else 1
    everything = in_turns(
        partial(matrix, candles),
        partial(pandas_features.matrix, candles),
        turns=plan.turns,
        times=(times, 1),
    )
    vectorised = in_turns(
        partial(_ours, candles),
        lambda: pandas_features.vectorised(pandas_features.frame(candles)),
        turns=plan.turns,
        times=(times, 1),
    )
    return (
        times_less(f"{rows}, all", everything, "ms", at_least(10.0)),
        times_less(f"{rows}, what pandas vectorises", vectorised, "ms"),
    )


def _ours(candles: Candles) -> None:
    market = Market(candles)
    for feature in FEATURES:
        if feature.name not in pandas_features.BY_WINDOW:
            feature.series(market)
