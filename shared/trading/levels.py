"""Where a signal is entered, where it ends, and what that gives."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.contracts.configuration import Configuration
from shared.contracts.terms import Direction, Horizon, Timeframe
from shared.contracts.trading import Side, SignalParameters


class Levels(NamedTuple):
    """Prices. Where the average true range is huge, one of them can be below zero."""

    entry: float
    take_profit: float
    stop_loss: float


def side_of(direction: Direction) -> Side:
    return Side.LONG if direction is Direction.UP else Side.SHORT


def levels(side: Side, close: float, atr_pct: float, parameters: SignalParameters) -> Levels:
    """So many average true ranges away from the close, which stands for the entry."""
    atr = close * atr_pct / 100.0
    ahead = atr if side is Side.LONG else -atr
    return Levels(
        entry=close,
        take_profit=close + parameters.take_profit_atr * ahead,
        stop_loss=close - parameters.stop_loss_atr * ahead,
    )


def net_profit_pct(side: Side, entry: float, end: float, rules: Configuration) -> float:
    """What a trade from `entry` to `end` leaves of 100 that were entered, before leverage.

    Fee and slippage are paid of what is bought and of what is sold; funding is not known before.
    """
    grown = end / entry
    gross = grown - 1.0 if side is Side.LONG else 1.0 - grown
    return 100.0 * gross - one_way_pct(rules) * (1.0 + grown)


def one_way_pct(rules: Configuration) -> float:
    """What it costs to get in, or out."""
    return rules.fee_pct + rules.slippage_pct


def nearest(holding: Horizon, horizons: Iterable[Horizon]) -> Horizon:
    """The horizon that is nearest to what is wanted; of two, the shorter. There must be one."""
    return min(horizons, key=lambda horizon: (abs(horizon - holding), horizon))


def expiry(candle_at: datetime, timeframe: Timeframe, horizon: Horizon) -> datetime:
    """When a signal of this candle ends at the latest: at the close of the `horizon`-th candle
    behind it. By the clock, so where a market rests there are fewer candles before it.
    """
    return candle_at + timedelta(seconds=timeframe.seconds) * (horizon + 1)
