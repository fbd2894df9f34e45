"""How what the learners say becomes the one probability that is served."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from shared.contracts.errors import ArtifactRefused
from shared.model.odds import logit, sigmoid

#: A slope is never less, so that more votes for a rise always make one likelier.
MIN_SLOPE: Final = 0.1

_MAX_SLOPE: Final = 100.0
_MAX_INTERCEPT: Final = 20.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Blend:
    """`weights` [horizons, learners], each row's sum is 1; `slope` and `intercept` [horizons]."""

    weights: npt.NDArray[np.float64]
    slope: npt.NDArray[np.float64]
    intercept: npt.NDArray[np.float64]

    @classmethod
    def plain(cls, *, horizons: int, learners: int) -> Self:
        """The mean of all learners, as it is."""
        return cls(
            weights=np.full((horizons, learners), 1.0 / learners),
            slope=np.ones(horizons),
            intercept=np.zeros(horizons),
        )

    def p_up(self, by_learner: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """[rows, horizons, learners] -> [rows, horizons]: `sigmoid(slope * logit(mean) +
        intercept)`, the mean weighted.
        """
        mean = (by_learner * self.weights).sum(axis=2)
        return sigmoid(self.slope * logit(mean) + self.intercept)

    def check(self, *, horizons: int, learners: int) -> None:
        """Make sure that it gives finite numbers and turns nothing round.

        Raises:
            ArtifactRefused: the shapes do not fit, or a number is beyond reason.
        """
        sound = (
            self.weights.shape == (horizons, learners)
            and self.slope.shape == self.intercept.shape == (horizons,)
            and bool(np.all(self.weights >= 0.0))
            and bool(np.all(np.abs(self.weights.sum(axis=1) - 1.0) <= 1e-9))
            and bool(np.all((self.slope >= MIN_SLOPE) & (self.slope <= _MAX_SLOPE)))
            and bool(np.all(np.abs(self.intercept) <= _MAX_INTERCEPT))
        )
        if not sound:
            raise ArtifactRefused("the weights or the calibration of the model make no sense")
