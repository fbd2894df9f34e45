"""How many times the stake a position may be."""

import math
from typing import Final

from shared.contracts.configuration import Configuration
from shared.contracts.terms import Horizon
from shared.contracts.trading import SignalParameters
from shared.trading.levels import one_way_pct

#: A quarter of what Kelly would bet: about half the growth for a sixteenth of the variance.
_KELLY_SHARE: Final = 0.25
#: The stake's standard deviation over the holding time, in percent of it, that is aimed at.
_TARGET_PCT: Final = 20.0
#: The mean range of a random walk over its standard deviation: sqrt(8 / pi) (Feller, 1951).
_RANGE_PER_SD: Final = math.sqrt(8.0 / math.pi)
#: The share of a position that an exchange wants as margin at least, in percent.
_MAINTENANCE_PCT: Final = 1.0
#: How much farther away than the stop-loss the liquidation has to be.
_CLEARANCE: Final = 2.0


def leverage(
    edge: float,
    atr_pct: float,
    parameters: SignalParameters,
    horizon: Horizon,
    rules: Configuration,
) -> float:
    """From 1 to the allowed maximum, in steps of a tenth; 1 where `edge` is not positive.

    `edge` is the probability of the signal's direction over 0.5, as far as it is proven. The least
    of these, with W and S the distances of take-profit and stop-loss as parts of the price:

    - *Kelly* (1956), a quarter of it. Without an edge, a walk between two levels ends at the
      take-profit with q = S / (S + W) (the gambler's ruin), and with one at q + edge. The growth of
      the stake is highest at q / S - (1 - q) / W times the stake (Thorp, 2006, for payoffs of W and
      -S), which is edge * (1 / S + 1 / W). Of the edge, costs take as much as they do at the
      narrowest take-profit that the net profit filter lets through: at wider ones it would be less,
      but then a calmer market could mean a lower leverage.
    - *Volatility target*: what makes the stake's standard deviation over the holding time 20 %. A
      candle's is its range over sqrt(8 / pi), and time adds variances.
    - *Liquidation* (`most_leverage`).

    It grows with the edge and falls with the average true range.
    """
    most = min(rules.max_leverage, most_leverage(atr_pct, parameters, rules))
    if not rules.auto_leverage or edge <= 0.0 or most <= 1.0:
        return 1.0
    kelly = _KELLY_SHARE * _kelly(edge, atr_pct, parameters, rules)
    deviation_pct = atr_pct / _RANGE_PER_SD * math.sqrt(horizon)
    wanted = min(kelly, _TARGET_PCT / deviation_pct, most)
    return max(math.floor(wanted * 10.0) / 10.0, 1.0)


def most_leverage(atr_pct: float, parameters: SignalParameters, rules: Configuration) -> float:
    """The highest at which an isolated position is liquidated no nearer than at twice the distance
    of its stop-loss, and with what it costs to get in and out set aside.

    The margin is 1 / leverage of the position, and the exchange takes over when what is left of it
    is the maintenance margin. Below 1 not even the whole price would be enough.
    """
    stop_pct = parameters.stop_loss_atr * atr_pct
    return 100.0 / (_CLEARANCE * stop_pct + _MAINTENANCE_PCT + 2.0 * one_way_pct(rules))


def _kelly(
    edge: float, atr_pct: float, parameters: SignalParameters, rules: Configuration
) -> float:
    win = parameters.take_profit_atr * atr_pct / 100.0
    loss = parameters.stop_loss_atr * atr_pct / 100.0
    certain = win / (loss + win)
    left = min(edge, certain) - _taken_by_costs(parameters, rules)
    return left * (1.0 / loss + 1.0 / win)


def _taken_by_costs(parameters: SignalParameters, rules: Configuration) -> float:
    """By how much costs raise the share of trades that must win: costs / (W + S)."""
    costs = 2.0 * one_way_pct(rules)
    narrowest = costs + rules.min_net_profit_pct
    if narrowest == 0.0:
        return 0.0
    stop = narrowest * parameters.stop_loss_atr / parameters.take_profit_atr
    return costs / (narrowest + stop)
