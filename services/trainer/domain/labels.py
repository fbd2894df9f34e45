"""What is to be learnt: where the close stands a number of candles later."""

import numpy as np
import numpy.typing as npt

from shared.contracts.terms import Horizon


def returns_ahead(
    close: npt.NDArray[np.float64], horizons: tuple[Horizon, ...]
) -> npt.NDArray[np.float64]:
    """Simple returns over each horizon, in percent: [rows, horizons].

    The last `horizon` rows of a column have no future yet and are NaN.
    """
    ahead = np.full((len(close), len(horizons)), np.nan)
    for column, horizon in enumerate(horizons):
        known = max(len(close) - horizon, 0)
        ahead[:known, column] = (close[horizon:] / close[:known] - 1.0) * 100.0
    return ahead


def rises(returns: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """1 where the close will be higher, 0 where it will not. Every return must be known."""
    return (returns > 0.0).astype(np.float32)
