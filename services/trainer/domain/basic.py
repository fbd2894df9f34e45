"""The basic model: ridge logistic regression, for every horizon alike."""

from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt

from services.trainer.domain.learners import Labels, LabelTable, Probabilities
from shared.model.features import Matrix
from shared.model.forecast import BASIC
from shared.model.linear import standardised
from shared.model.odds import logit, sigmoid

Vector = npt.NDArray[np.float64]

#: Precision of the prior on a standardised weight: one standard deviation moves the odds by 10 %.
_RIDGE: Final = 100.0

_STEPS: Final = 30

#: A weight that is known this well moves no probability by as much as 1e-4.
_SMALL: Final = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """Rows brought to one scale, for regressions on them: `scores` as `standardised` gives them,
    and `products`, their sums of products.
    """

    centre: Vector
    scale: Vector
    scores: npt.NDArray[np.float32]
    products: Vector

    @classmethod
    def of(cls, rows: Matrix) -> Self:
        centre = rows.mean(axis=0, dtype=np.float64)
        spread = rows.std(axis=0, dtype=np.float64)
        scale = np.where(spread > 1e-12, spread, 1.0)
        scores = standardised(rows, centre, scale).astype(np.float32)
        return cls(
            centre=centre,
            scale=scale,
            scores=scores,
            products=(scores.T @ scores).astype(np.float64),
        )

    def weights(self, labels: Labels) -> Vector:
        """Learnt from the first rows, as many as there are labels.

        Labels are drawn in by Laplace's rule, so that rows of one class only have an optimum too;
        the intercept is not penalised. Newton's method, from where all rows have the same odds: the
        curvature there is known for all horizons at once, and serves for as long as each step is
        less than half the one before. No weight moves by more than 1 at a time.
        """
        scores = self.scores[: len(labels)]
        truth = (labels.astype(np.float64) * len(labels) + 1.0) / (len(labels) + 2.0)
        ridge = np.full(scores.shape[1], _RIDGE)
        ridge[0] = 0.0
        share = truth.mean()
        weights = np.zeros(scores.shape[1])
        weights[0] = logit(share)
        curve = share * (1.0 - share) * self.products + np.diag(ridge)
        last = np.inf
        for _ in range(_STEPS):
            p = sigmoid((scores @ weights.astype(np.float32)).astype(np.float64))
            slope = (p - truth).astype(np.float32) @ scores + ridge * weights
            step = np.linalg.solve(curve, slope)
            if 2.0 * np.abs(step).max() > last:
                likely = np.sqrt(p * (1.0 - p)).astype(np.float32)[:, None] * scores
                curve = (likely.T @ likely).astype(np.float64) + np.diag(ridge)
                step = np.linalg.solve(curve, slope)
            last = np.abs(step).max()
            weights = weights - step / max(last, 1.0)
            if last < _SMALL:
                break
        return weights


class Basic:
    name: ClassVar[str] = BASIC

    def __init__(self, features: Matrix, labels: LabelTable) -> None:
        self._features, self._labels = features, labels

    def study(self, train: range, valid: range | None = None) -> "BasicStudy":
        del valid  # its strength is fixed: there is nothing to stop early
        rows = slice(train.start, train.stop)
        return BasicStudy(ridge=Ridge.of(self._features[rows]), labels=self._labels[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicStudy:
    ridge: Ridge
    labels: LabelTable

    def fit(self, column: int, *, rounds: int) -> "BasicFitted":
        del rounds
        return BasicFitted(ridge=self.ridge, weights=self.ridge.weights(self.labels[:, column]))


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicFitted:
    ridge: Ridge
    weights: Vector
    rounds: int = 1

    def probabilities(self, rows: Matrix) -> Probabilities:
        return sigmoid(standardised(rows, self.ridge.centre, self.ridge.scale) @ self.weights)
