"""What followed in the training window, for the words of a forecast beside its probability."""

from typing import Final

import numpy as np
import numpy.typing as npt

from shared.contracts.terms import Horizon
from shared.model.artifact import Outlook
from shared.model.blend import Blend

Returns = npt.NDArray[np.float64]

#: In widths of the middle 80 % of all moves. Of real returns three in 100,000 are further out than
#: that; of those that a broken candle makes, all.
_FARTHEST: Final = 10.0


def outlook(horizon: Horizon, returns: Returns, blend: Blend, place: int) -> Outlook:
    """From the returns over one horizon, all known, and the blend of the horizon at `place`.

    A return beyond what the market does counts as if it were just within: one broken candle would
    be the mean of all.
    """
    risen, returns = returns > 0.0, _within_reach(returns)
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


def _within_reach(returns: Returns) -> Returns:
    moves = returns[returns != 0.0]
    if not len(moves):
        return returns
    low, high = np.quantile(moves, (0.1, 0.9))
    reach = _FARTHEST * (high - low)
    return np.clip(returns, low - reach, high + reach)


def _mean(returns: Returns) -> float:
    return float(returns.mean()) if len(returns) else 0.0
