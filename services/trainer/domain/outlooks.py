"""What followed in the training window, for the words of a forecast beside its probability."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.contracts.records import INTERVAL_COVERAGE
from shared.contracts.terms import Horizon
from shared.model.artifact import Outlook
from shared.model.blend import Blend
from shared.model.reach import reach

Table = npt.NDArray[np.float64]
Returns = npt.NDArray[np.float64]

#: In widths of the middle 80 % of all moves. Of real returns three in 100,000 are further out than
#: that; of those that a broken candle makes, all.
_FARTHEST: Final = 10.0


#: What an error that shares candles with others is worth less, per candle that it shares: so much
#: the share of errors beyond a tenth of all varies more on random walks, at every horizon from 3.
_SHARED: Final = 0.6


@dataclass(frozen=True, kw_only=True, eq=False)
class Past:
    """The rows of a window: `atr_pct` [rows]; `returns` in percent and `p_up` [rows, horizons]. NaN
    are returns that are not known yet, and probabilities that were not said before the row was
    learnt from.
    """

    atr_pct: npt.NDArray[np.float64]
    returns: Table
    p_up: Table


def outlooks(horizons: tuple[Horizon, ...], past: Past, blend: Blend) -> tuple[Outlook, ...]:
    """What is to be said of each horizon beside the probability that the blend gives."""
    moving = past.atr_pct[past.atr_pct > 0.0]
    usual = float(np.median(moving)) if len(moving) else 1.0
    scale = reach(past.atr_pct, usual)
    return tuple(
        _outlook(
            horizon,
            past.returns[:, place] / scale,
            past.p_up[:, place],
            usual,
            blend,
            place,
        )
        for place, horizon in enumerate(horizons)
    )


def _outlook(
    horizon: Horizon, scaled: Returns, p_up: Returns, usual: float, blend: Blend, place: int
) -> Outlook:
    """From returns over one horizon, as they would have been at the usual volatility.

    A return beyond what the market does counts as if it were just within: one broken candle would
    be the mean of all.
    """
    known = ~np.isnan(scaled)
    risen, scaled = scaled[known] > 0.0, _within_reach(scaled[known])
    up, down = _mean(scaled[risen]), _mean(scaled[~risen])
    said = np.where(np.isnan(p_up[known]), risen.mean(), p_up[known])
    low, high = middle(scaled - (said * up + (1.0 - said) * down), horizon)
    return Outlook(
        horizon=horizon,
        usual_atr_pct=usual,
        mean_up_pct=up,
        mean_down_pct=down,
        low_pct=min(low, 0.0),
        high_pct=max(high, 0.0),
        weights=tuple(blend.weights[place].tolist()),
        slope=float(blend.slope[place]),
        intercept=float(blend.intercept[place]),
    )


def middle(errors: Returns, horizon: Horizon) -> tuple[float, float]:
    """The bounds that hold the next error with a probability of `INTERVAL_COVERAGE`, if it comes
    from where these come from, and is beyond either as likely.

    Of n errors that could as well have come in any other order, the next one is below the k-th
    smallest with a probability of k / (n + 1) (Vovk et al., Algorithmic Learning in a Random World,
    2005). Each shares its candles with others, so n is as many as they are worth, and k is turned
    into a share of all. Where n is too small for such a k, the bounds are the farthest errors.
    """
    alone = max(len(errors) / (1.0 + _SHARED * (horizon - 1)), 1.0)
    rank = (alone + 1.0) * (1.0 - INTERVAL_COVERAGE) / 2.0
    tail = max((rank - 0.5) / alone, 0.0)
    low, high = np.quantile(errors, (tail, 1.0 - tail), method="hazen")
    return float(low), float(high)


def _within_reach(returns: Returns) -> Returns:
    moves = returns[returns != 0.0]
    if not len(moves):
        return returns
    low, high = np.quantile(moves, (0.1, 0.9))
    farthest = _FARTHEST * (high - low)
    return np.clip(returns, low - farthest, high + farthest)


def _mean(returns: Returns) -> float:
    return float(returns.mean()) if len(returns) else 0.0
