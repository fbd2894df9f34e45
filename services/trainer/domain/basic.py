"""The basic model: ridge logistic regression, for every horizon alike."""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from services.trainer.domain.learners import Labels, Probabilities
from shared.model.features import Matrix
from shared.model.forecast import BASIC
from shared.model.linear import standardised
from shared.model.odds import sigmoid

#: Precision of the prior on a standardised weight: one standard deviation moves the odds by 10 %.
_RIDGE: Final = 100.0
_NEWTON_STEPS: Final = 8


class Basic:
    name: ClassVar[str] = BASIC

    def study(self, train: Matrix, valid: Matrix | None = None) -> "BasicStudy":
        del valid  # its strength is fixed: there is nothing to stop early
        centre = train.mean(axis=0, dtype=np.float64)
        scale = train.std(axis=0, dtype=np.float64)
        return BasicStudy(
            centre=centre,
            scale=np.where(scale > 1e-12, scale, 1.0),
            rows=train,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicStudy:
    centre: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    rows: Matrix

    def fit(
        self, labels: Labels, valid_labels: Labels | None = None, *, rounds: int
    ) -> "BasicFitted":
        """By Newton's method. Labels are drawn in by Laplace's rule, so that rows of one class only
        have an optimum too; the intercept is not penalised.
        """
        del valid_labels, rounds
        scores = standardised(self.rows, self.centre, self.scale)
        truth = (labels.astype(np.float64) * len(labels) + 1.0) / (len(labels) + 2.0)
        ridge = np.full(scores.shape[1], _RIDGE)
        ridge[0] = 0.0
        weights = np.zeros(scores.shape[1])
        for _ in range(_NEWTON_STEPS):
            p = sigmoid(scores @ weights)
            slope = scores.T @ (p - truth) + ridge * weights
            curve = (scores * (p * (1.0 - p))[:, None]).T @ scores + np.diag(ridge)
            step = np.linalg.solve(curve, slope)
            weights = weights - step
            if np.abs(step).max() < 1e-6:
                break
        return BasicFitted(study=self, weights=weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicFitted:
    study: BasicStudy
    weights: npt.NDArray[np.float64]
    rounds: int = 1

    def probabilities(self, rows: Matrix) -> Probabilities:
        return sigmoid(standardised(rows, self.study.centre, self.study.scale) @ self.weights)
