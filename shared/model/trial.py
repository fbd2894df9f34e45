"""What a model's making foretold for candles that it had not been shown at that time."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.contracts.errors import ArtifactRefused


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """`at` [rows], ascending open times in ms; `p_up` [rows, horizons], calibrated.

    Serving never reads it. The next model is measured against it: what the finished model says of
    these rows proves nothing, for it was fitted on them in the end.
    """

    at: npt.NDArray[np.int64]
    p_up: npt.NDArray[np.float32]

    def check(self, *, horizons: int) -> None:
        """Raises ArtifactRefused: the shapes do not fit, or a number is no probability."""
        sound = (
            self.at.ndim == 1
            and self.p_up.shape == (len(self.at), horizons)
            and bool(np.all(self.at[1:] > self.at[:-1]))
            and bool(np.all((self.p_up >= 0.0) & (self.p_up <= 1.0)))
        )
        if not sound:
            raise ArtifactRefused("the trial of the model makes no sense")
