"""What followed in the training window, for the words of a forecast beside its probability."""

import numpy as np
import numpy.typing as npt

from shared.contracts.terms import Horizon
from shared.model.artifact import Outlook
from shared.model.blend import Blend

Returns = npt.NDArray[np.float64]


def outlook(horizon: Horizon, returns: Returns, blend: Blend, place: int) -> Outlook:
    """From the returns over one horizon, all known, and the blend of the horizon at `place`."""
    risen = returns > 0.0
    low, high = np.quantile(returns, (0.1, 0.9))
    return Outlook(
        horizon=horizon,
        mean_up_pct=_mean(returns[risen]),
        mean_down_pct=_mean(returns[~risen]),
        low_pct=float(low),
        high_pct=float(high),
        weights=tuple(blend.weights[place].tolist()),
        slope=float(blend.slope[place]),
        intercept=float(blend.intercept[place]),
    )


def _mean(returns: Returns) -> float:
    return float(returns.mean()) if len(returns) else 0.0
