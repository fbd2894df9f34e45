"""Weights and calibration, learnt from what the learners foretold of rows they had not seen.

A label of horizon h shares its candles with h - 1 others, so each row counts as 1 / h of one that
stands alone. Both rules are maxima of a posterior: with few rows the prior decides, and the result
is close to the plain mean; there is no threshold at which it jumps.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from shared.contracts.terms import Horizon
from shared.model.blend import MIN_SLOPE, Blend
from shared.model.odds import logit, sigmoid

Vector = npt.NDArray[np.float64]

#: The prior of the weights: as if every learner had already been the right one this often.
_VOTES: Final = 2.0

#: The prior of the calibration: standard deviations of the slope about 1, the intercept about 0.
_SLOPE_SPREAD: Final = 0.5
_INTERCEPT_SPREAD: Final = 0.1

#: Log-odds beyond this are taken for this while the calibration is fitted.
_SUREST: Final = 8.0

_CERTAIN: Final = 1e-7
_NEWTON_STEPS: Final = 40


def blended(
    by_learner: npt.NDArray[np.float64],
    truth: npt.NDArray[np.float32],
    horizons: tuple[Horizon, ...],
) -> Blend:
    """The blend for what comes next, from [rows, horizons, learners] and [rows, horizons]."""
    plain = Blend.plain(horizons=len(horizons), learners=by_learner.shape[2])
    weights, slope, intercept = plain.weights, plain.slope, plain.intercept
    for place, horizon in enumerate(horizons):
        said, risen = by_learner[:, place], truth[:, place] > 0.5
        weights[place] = mixture(said, risen, horizon)
        margins = logit(said @ weights[place])
        slope[place], intercept[place] = calibration(margins, risen, horizon)
    return Blend(weights=weights, slope=slope, intercept=intercept)


def mixture(said: Vector, risen: npt.NDArray[np.bool_], horizon: Horizon) -> Vector:
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
    margins: Vector, risen: npt.NDArray[np.bool_], horizon: Horizon
) -> tuple[float, float]:
    """Platt's slope and intercept for log-odds, drawn towards 1 and 0 by a normal prior.

    The slope is kept above zero: that a model was wrong more often than right is no reason to
    believe the opposite of what it says.
    """
    inputs = np.stack([np.clip(margins, -_SUREST, _SUREST), np.ones(len(margins))], axis=1)
    slope, intercept = _posterior(inputs, risen, horizon, np.array([True, True]))
    if slope < MIN_SLOPE:
        _, intercept = _posterior(inputs, risen, horizon, np.array([False, True]))
    return max(slope, MIN_SLOPE), intercept


def _posterior(
    inputs: Vector, risen: npt.NDArray[np.bool_], horizon: Horizon, free: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """By Newton's method from where it is flat. What is not free stays at the least slope."""
    expected = np.array([1.0, 0.0])
    precision = np.array([_SLOPE_SPREAD, _INTERCEPT_SPREAD]) ** -2.0
    found = np.array([MIN_SLOPE, 0.0])
    for _ in range(_NEWTON_STEPS):
        p = sigmoid(inputs @ found)
        slope = inputs.T @ (p - risen) / horizon + precision * (found - expected)
        curve = (inputs * (p * (1.0 - p))[:, None]).T @ inputs / horizon + np.diag(precision)
        step = np.where(free, np.linalg.solve(curve, np.where(free, slope, 0.0)), 0.0)
        found = found - step
        if np.abs(step).max() < 1e-9:
            break
    return float(found[0]), float(found[1])
