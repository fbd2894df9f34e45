"""Ten and fifty updates in a row against a full training, and against learning from the newest
candles alone, where the market stays what it is and where it turns round.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import lightgbm
import numpy as np
import numpy.typing as npt

from services.trainer.domain.jobs import FitJob, FitResult, Inputs
from services.trainer.domain.labels import returns_ahead, rises
from services.trainer.domain.scores import log_loss, roc_auc
from services.trainer.fit import fit
from shared.contracts.records import TrainingPlan
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Timeframe
from shared.model.artifact import decode
from shared.model.candles import Candles
from shared.model.features import Matrix, matrix
from shared.model.forecast import probabilities
from shared.model.history import WARMUP
from tests.benchmarks.measure import Row, Section, at_least, paired, times_less
from tests.benchmarks.plan import Plan
from tests.support.markets import planted_signal

_BASE: Final = 6000
_STEP: Final = 20
_TEST: Final = 1000
_COUNTS: Final = (10, 50)
_HORIZONS: Final = (1, 3)
_STRENGTH: Final = 0.4

#: What people do who train on the newest candles: so many more trees on them, each time.
_NAIVE: Final = {
    "objective": "binary",
    "max_depth": 4,
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 5,
    "num_threads": 1,
    "verbosity": -1,
}
_NAIVE_ROUNDS: Final = (100, 20)

_JOB: Final = FitJob(
    symbol=Symbol("BTC/USDT"),
    timeframe=Timeframe.M15,
    horizons=_HORIZONS,
    mode=Mode.FULL,
    plan=TrainingPlan(days_back=400, min_days=30, test_days=7, rounds=200),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """After so many updates: (log loss, ROC AUC) on the candles that came next, of each method,
    and CPU seconds of the update and of the full training.
    """

    updated: tuple[float, float]
    full: tuple[float, float]
    stale: tuple[float, float]
    naive: tuple[float, float]
    cpu: tuple[float, float]


def measure(plan: Plan) -> Section:
    rows: list[Row] = []
    for name, turn in (("the market stays", 0.0), ("the market turns round", np.pi)):
        for count in _COUNTS:
            found = [_found(count, turn, seed) for seed in range(plan.turns)]
            rows += _rows(f"{name}, {count} updates", found)
    return Section(
        title="Updates",
        notes=(
            f"Made-up quarter-hourly candles, {_BASE:,} for the full model and {_STEP} more per "
            f"update; log loss and ROC AUC over the horizons {_HORIZONS} on the {_TEST:,} candles "
            f"after the last update, means over {plan.turns} markets. Every update starts from the "
            "full model, so the fiftieth is made as the first one is.",
            "The yardsticks: a full training on all candles at that time; the full model as it "
            "was; and lightgbm given 20 more trees on the newest candles at every update.",
        ),
        rows=tuple(rows),
    )


def _rows(name: str, found: Sequence[Found]) -> list[Row]:
    methods = {
        "a full training": "full",
        "the full model as it was": "stale",
        "the newest": "naive",
    }
    rows = [
        times_less(f"{name}: CPU against a full training", paired([f.cpu for f in found]), "ms")
    ]
    for label, field in methods.items():
        goal = at_least(0.98) if field == "full" else None
        loss, area = np.mean([f.updated for f in found], axis=0)
        their_loss, their_area = np.mean([getattr(f, field) for f in found], axis=0)
        rows += [
            Row(
                what=f"{name}: log loss against {label}",
                ours=float(loss),
                unit="nats",
                yardstick=float(their_loss),
                ratio=float(their_loss / loss),
                goal=goal,
            ),
            Row(
                what=f"{name}: ROC AUC against {label}",
                ours=float(area),
                unit="",
                yardstick=float(their_area),
                ratio=float(area / their_area),
            ),
        ]
    return rows


def _found(count: int, turn: float, seed: int) -> Found:
    now = _BASE + count * _STEP
    way = np.linspace(0.0, 1.0, now + _TEST - 1)
    market = planted_signal(
        now + _TEST, strength=_STRENGTH * np.cos(turn * way), seed=seed, timeframe=Timeframe.M15
    )
    base = fit(_JOB, Inputs(candles=market[:_BASE].tobytes()), _silently)
    update = replace(_JOB, mode=Mode.INCREMENTAL, updates=count - 1)
    updated, update_cpu = _timed(update, Inputs(candles=market[:now].tobytes(), base=base.native))
    full, full_cpu = _timed(_JOB, Inputs(candles=market[:now].tobytes()))
    features, truth = _test(market, now)
    return Found(
        updated=_scores(updated, features, truth),
        full=_scores(full, features, truth),
        stale=_scores(base, features, truth),
        naive=_judged(_naive(market, now, features), truth),
        cpu=(update_cpu, full_cpu),
    )


def _timed(job: FitJob, inputs: Inputs) -> tuple[FitResult, float]:
    started = time.process_time()
    result = fit(job, inputs, _silently)
    return result, time.process_time() - started


def _test(market: Candles, now: int) -> tuple[Matrix, npt.NDArray[np.float32]]:
    """The candles after `now`: their features, and [rows, horizons] what became of them."""
    truth = rises(returns_ahead(market["close"], _HORIZONS))
    known = len(market) - _HORIZONS[-1]
    return matrix(market[now - WARMUP : known]), truth[now:known]


def _scores(
    result: FitResult, features: Matrix, truth: npt.NDArray[np.float32]
) -> tuple[float, float]:
    return _judged(probabilities(decode(result.artifact), features).p_up, truth)


def _judged(p_up: npt.NDArray[np.float64], truth: npt.NDArray[np.float32]) -> tuple[float, float]:
    areas = [roc_auc(truth[:, place], p_up[:, place]) for place in range(len(_HORIZONS))]
    return log_loss(truth, p_up), float(np.mean([area for area in areas if area is not None]))


def _naive(market: Candles, now: int, test: Matrix) -> npt.NDArray[np.float64]:
    """Boosted on and on, from each update's newest candles alone."""
    features, close = matrix(market[:now]), market["close"][WARMUP:now]
    first, more = _NAIVE_ROUNDS
    columns = []
    for horizon in _HORIZONS:
        truth = rises(returns_ahead(close, (horizon,)))[:, 0]
        end = _BASE - WARMUP
        model = lightgbm.train(
            _NAIVE, lightgbm.Dataset(features[: end - horizon], truth[: end - horizon]), first
        )
        for start in range(end, len(close), _STEP):
            new = slice(start - horizon, start + _STEP - horizon)
            model = lightgbm.train(
                _NAIVE, lightgbm.Dataset(features[new], truth[new]), more, init_model=model
            )
        columns.append(model.predict(test, num_threads=1))
    return np.stack(columns, axis=1)


def _silently(stage: str, done: float) -> None:
    """Nobody looks on."""
