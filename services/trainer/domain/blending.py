"""Weights and calibration, learnt from what the learners foretold of rows they had not seen.

A label of horizon h shares its candles with h - 1 others, so each row counts as 1 / h of one that
stands alone. Both rules are maxima of a posterior: with few rows the prior decides, which is the
plain mean for the weights, and for the calibration what the models of other symbols bear out; there
is no threshold at which it jumps.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from services.trainer.domain.slopes import UNKNOWN, Slope, Slopes
from shared.contracts.terms import Horizon
from shared.model.blend import MIN_SLOPE, Blend
from shared.model.odds import logit, sigmoid

Vector = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: The prior of the weights: as if every learner had already been the right one this often.
_VOTES: Final = 2.0

#: The prior of a calibration's intercept: its standard deviation about 0. It is not shared between
#: symbols: what they have in common is where the market went, and it need not go on.
_INTERCEPT_SPREAD: Final = 0.1

#: Log-odds beyond this are taken for this while the calibration is fitted.
_SUREST: Final = 8.0

#: Rows say nothing of a slope where they leave it a larger standard error than this.
_LARGEST_ERROR: Final = 100.0

_CERTAIN: Final = 1e-7
_NEWTON_STEPS: Final = 40


def blended(
    by_learner: npt.NDArray[np.float64],
    truth: npt.NDArray[np.float32],
    horizons: tuple[Horizon, ...],
    slopes: Slopes,
) -> Blend:
    """The blend for what comes next, from [rows, horizons, learners] and [rows, horizons]; `slopes`
    are what is expected of horizons before these rows.
    """
    plain = Blend.plain(horizons=len(horizons), learners=by_learner.shape[2])
    weights, slope, intercept = plain.weights, plain.slope, plain.intercept
    for place, horizon in enumerate(horizons):
        said, risen = by_learner[:, place], truth[:, place] > 0.5
        weights[place] = mixture(said, risen, horizon)
        margins = logit(said @ weights[place])
        before = slopes.get(horizon, UNKNOWN)
        slope[place], intercept[place] = calibration(margins, risen, horizon, before)
    return Blend(weights=weights, slope=slope, intercept=intercept)


def mixture(said: Vector, risen: Flags, horizon: Horizon) -> Vector:
    """The weights, all positive, of the mixture of learners under which the truth was likeliest:
    [rows, learners] -> [learners].

    The prior is Dirichlet's. The sum of the weights need not be held at 1: the likelihood only
    scales with it, so a price on the sum puts the optimum there. Newton's method with the damping
    that keeps it inside for self-concordant functions (Nesterov and Nemirovskii, 1994).
    """
    likely = np.clip(np.where(risen[:, None], said, 1.0 - said), _CERTAIN, 1.0)
    rows, learners = likely.shape
    price = rows / horizon + _VOTES * learners
    weights = np.full(learners, 1.0 / learners)
    for _ in range(_NEWTON_STEPS):
        shares = likely / (likely @ weights)[:, None]
        slope = price - shares.sum(axis=0) / horizon - _VOTES / weights
        curve = shares.T @ shares / horizon + np.diag(_VOTES / weights**2)
        step = np.linalg.solve(curve, slope)
        decrement = float(np.sqrt(slope @ step))
        weights = weights - step / (1.0 + np.sqrt(horizon) * decrement)
        if decrement < 1e-6:
            break
    result: Vector = weights / weights.sum()
    return result


def calibration(
    margins: Vector, risen: Flags, horizon: Horizon, expected: Slope = UNKNOWN
) -> tuple[float, float]:
    """Platt's slope and intercept for log-odds, drawn towards the expected slope and 0 by a normal
    prior.

    The slope is kept above zero: that a model was wrong more often than right is no reason to
    believe the opposite of what it says.
    """
    found, _ = _posterior(margins, risen, horizon, expected, free=_BOTH)
    if found[0] < MIN_SLOPE:
        found, _ = _posterior(margins, risen, horizon, expected, free=_INTERCEPT)
    return max(float(found[0]), MIN_SLOPE), float(found[1])


def own_slopes(
    by_learner: npt.NDArray[np.float64],
    truth: npt.NDArray[np.float32],
    horizons: tuple[Horizon, ...],
    blend: Blend,
) -> tuple[Slope | None, ...]:
    """What the rows alone say of each horizon's slope, under the weights of the blend; None where
    they say nothing.
    """
    return tuple(
        own_slope(
            logit(by_learner[:, place] @ blend.weights[place]), truth[:, place] > 0.5, horizon
        )
        for place, horizon in enumerate(horizons)
    )


def own_slope(margins: Vector, risen: Flags, horizon: Horizon) -> Slope | None:
    """The posterior without its prior: Laplace's approximation where it is highest, whatever the
    intercept.
    """
    found, curve = _posterior(margins, risen, horizon, UNKNOWN, free=_BOTH)
    precision = float(curve[0, 0] - curve[0, 1] ** 2 / curve[1, 1])
    own = precision - UNKNOWN.precision
    if own < _LARGEST_ERROR**-2:
        return None
    mean = (precision * float(found[0]) - UNKNOWN.precision * UNKNOWN.mean) / own
    return Slope(mean=mean, spread=own**-0.5)


_BOTH: Final = np.array([True, True])
_INTERCEPT: Final = np.array([False, True])


def _posterior(
    margins: Vector, risen: Flags, horizon: Horizon, slope: Slope, *, free: Flags
) -> tuple[Vector, Vector]:
    """The likeliest slope and intercept, and the precision around them [2, 2]: by Newton's method
    from where it is flat. What is not free stays at the least slope.
    """
    inputs = np.stack([np.clip(margins, -_SUREST, _SUREST), np.ones(len(margins))], axis=1)
    expected = np.array([slope.mean, 0.0])
    precision = np.array([slope.spread, _INTERCEPT_SPREAD]) ** -2.0
    found, curve = np.array([MIN_SLOPE, 0.0]), np.diag(precision)
    for _ in range(_NEWTON_STEPS):
        p = sigmoid(inputs @ found)
        gradient = inputs.T @ (p - risen) / horizon + precision * (found - expected)
        curve = (inputs * (p * (1.0 - p))[:, None]).T @ inputs / horizon + np.diag(precision)
        step = np.where(free, np.linalg.solve(curve, np.where(free, gradient, 0.0)), 0.0)
        found = found - step
        if np.abs(step).max() < 1e-9:
            break
    return found, curve
