"""From a model and candles to what people are told."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.contracts.errors import ArtifactRefused, NotEnoughHistory
from shared.contracts.records import INTERVAL_COVERAGE, Forecast
from shared.contracts.terms import Direction
from shared.model.artifact import Model, Outlook
from shared.model.candles import Candles
from shared.model.features import SPEC, Matrix, matrix
from shared.model.history import WARMUP
from shared.model.odds import sigmoid
from shared.model.reach import atr_pct, reach
from shared.model.splits import adjusted
from shared.model.windows import Series

#: The learner that is not a booster.
BASIC: Final = "basic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probabilities:
    """That the close will be higher: `by_learner` [rows, horizons, learners], raw, the boosters in
    the card's order and the basic model last; `p_up` [rows, horizons], blended and calibrated.
    """

    by_learner: npt.NDArray[np.float64]
    p_up: npt.NDArray[np.float64]


def forecast(model: Model, candles: Candles) -> tuple[Forecast, ...]:
    """What the newest candle says, one forecast per horizon, the nearest first.

    Only the newest `WARMUP + 1` candles are looked at, and splits among them are undone.

    Raises:
        NotEnoughHistory: fewer candles than that.
        ArtifactRefused: the model reads other features than this version computes.
    """
    if len(candles) <= WARMUP:
        raise NotEnoughHistory(f"{len(candles)} candles; a prediction needs {WARMUP + 1}")
    newest, _ = adjusted(candles[-WARMUP - 1 :])
    now, moved = probabilities(model, matrix(newest)), atr_pct(newest)
    learners = (*model.card.boosters, BASIC)
    return tuple(
        _forecast(outlook, float(p_up), moved, dict(zip(learners, map(float, each), strict=True)))
        for outlook, p_up, each in zip(
            model.card.outlooks, now.p_up[0], now.by_learner[0], strict=True
        )
    )


def probabilities(model: Model, rows: Matrix) -> Probabilities:
    """Evaluate every learner on every row of features.

    Raises:
        ArtifactRefused: the model reads other features than this version computes.
    """
    if model.card.spec != SPEC:
        raise ArtifactRefused("the model reads other features than this version computes")
    shape = (len(rows), len(model.card.outlooks), len(model.card.boosters))
    trees = model.forest.margins(rows).reshape(shape)
    margins = np.concatenate([trees, model.linear.margins(rows)[:, :, None]], axis=2)
    by_learner = sigmoid(margins)
    return Probabilities(by_learner=by_learner, p_up=model.blend.p_up(by_learner))


def _forecast(
    outlook: Outlook, p_up: float, moved_pct: Series, by_learner: dict[str, float]
) -> Forecast:
    expected, interval = _returns(outlook, p_up, moved_pct)
    return Forecast(
        horizon=outlook.horizon,
        p_up=p_up,
        direction=Direction.UP if p_up >= 0.5 else Direction.DOWN,
        confidence=max(p_up, 1.0 - p_up),
        expected_return_pct=expected,
        interval_pct=interval,
        interval_coverage=None if outlook.usual_atr_pct is None else INTERVAL_COVERAGE,
        by_learner=by_learner,
    )


def _returns(outlook: Outlook, p_up: float, moved_pct: Series) -> tuple[float, tuple[float, float]]:
    """The mean and the bounds of what may follow, in percent; nobody loses more than everything."""
    expected = p_up * outlook.mean_up_pct + (1.0 - p_up) * outlook.mean_down_pct
    if outlook.usual_atr_pct is None:
        return expected, (outlook.low_pct, outlook.high_pct)
    (times,) = map(float, reach(moved_pct, outlook.usual_atr_pct))
    low, high = expected + outlook.low_pct, expected + outlook.high_pct
    return times * expected, (max(times * low, -100.0), times * high)
