"""How many models come of a minute of CPU time, against one model per pair and target."""

import time
from typing import Final

from shared.contracts.terms import Timeframe
from shared.model.candles import Candles
from tests.benchmarks import markets, pair_and_target
from tests.benchmarks.jobs import HORIZONS, artifact, job_for
from tests.benchmarks.measure import Row, Section, paired
from tests.benchmarks.pandas_features import frame
from tests.benchmarks.plan import Plan

#: Thirty days of quarter-hourly candles: the window of the example.
ROWS: Final = 2880

#: Three boosters against two for each horizon; our linear model is not counted.
_OURS: Final = 3 * len(HORIZONS)
_THEIRS: Final = 2 * len(HORIZONS)


def measure(plan: Plan) -> Section:
    market = markets.quarterly(plan.candles, ROWS + pair_and_target.WARMUP)
    series = market.long_enough(ROWS + pair_and_target.WARMUP)
    turns = [_in_turn(series[first : first + 3], plan) for first in range(plan.slow_symbols)]
    pair = paired([(ours / _OURS, theirs / _THEIRS) for ours, theirs in turns])
    return Section(
        title="Models per minute",
        notes=(
            "CPU time of training on thirty days of quarter-hourly candles of one symbol. Ours is "
            f"a full job: three boosters for each of {len(HORIZONS)} horizons, every one validated "
            "in four folds, calibrated, packed and checked. The yardstick is the published way of "
            "FreqAI's example: 569 features of the pair and two others "
            "(`tests/benchmarks/pair_and_target.py`), one model per pair and target with the "
            "libraries' defaults and 100 rounds, not validated. To its advantage, its features are "
            "computed once for all targets, and serve both xgboost and lightgbm.",
            f"On {market.source}.",
        ),
        rows=(
            Row(
                what="models per minute of CPU",
                ours=60.0 / pair.ours,
                unit="",
                yardstick=60.0 / pair.yardstick,
                ratio=pair.ratio,
            ),
        ),
    )


def _in_turn(series: list[Candles], plan: Plan) -> tuple[float, float]:
    """The CPU seconds of our job and of theirs."""
    candles = series[0][-markets.with_history(ROWS) :]
    started = time.process_time()
    artifact(job_for(candles, Timeframe.M15, ROWS, plan.rounds), candles)
    between = time.process_time()
    pair, *others = [frame(candles) for candles in series]
    rows = pair_and_target.features(pair, others)
    pair_and_target.train(rows, pair.close.to_numpy()[-len(rows) :], HORIZONS)
    return between - started, time.process_time() - between
