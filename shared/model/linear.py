"""The basic model: one logistic regression per horizon, on features brought to one scale."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.contracts.errors import ArtifactRefused

#: In standard deviations: how far one feature can pull.
_CLIP: Final = 5.0

#: Numbers beyond this are damage; sums of products of smaller ones stay finite.
_MOST: Final = 1e6


@dataclass(frozen=True, kw_only=True, eq=False)
class Linear:
    """`centre` and `scale` [features]; `weights` [horizons, 1 + features], the intercept first."""

    centre: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]

    def check(self, *, horizons: int, features: int) -> None:
        """Make sure that every evaluation gives finite numbers.

        Raises:
            ArtifactRefused: the shapes do not fit together, or a number is beyond reason.
        """
        sound = (
            self.centre.shape == self.scale.shape == (features,)
            and self.weights.shape == (horizons, 1 + features)
            and bool(np.all(np.abs(self.centre) <= _MOST))
            and bool(np.all(np.abs(self.weights) <= _MOST))
            and bool(np.all((self.scale >= 1.0 / _MOST**2) & (self.scale <= _MOST)))
        )
        if not sound:
            raise ArtifactRefused(
                "the linear model does not fit together, or has a number beyond reason"
            )

    def margins(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """The log-odds of every horizon for every row: [rows, features] -> [rows, horizons]."""
        return standardised(rows, self.centre, self.scale) @ self.weights.T


def standardised(
    rows: npt.NDArray[np.float32],
    centre: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Clipped standard scores behind a column of ones: [rows, 1 + features]."""
    scores = np.clip((rows - centre) / scale, -_CLIP, _CLIP)
    return np.concatenate([np.ones((len(rows), 1)), scores], axis=1)
