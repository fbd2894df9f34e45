"""How far the market has moved lately, and so how far it may move next."""

from typing import Final

import numpy as np

from shared.model.candles import Candles
from shared.model.features import Market
from shared.model.history import WARMUP
from shared.model.windows import Series, mean

_ROWS: Final = 14

#: Volatility comes in clusters, and reverts: returns widen less than the average true range does.
#: See `tests/benchmarks/interval_scales.py`.
_POWER: Final = 0.75

#: A candle out of joint makes nothing wider, and a market that stands still nothing narrower.
_LEAST, _MOST = 0.25, 4.0


def atr_pct(candles: Candles) -> Series:
    """The average true range over the 14 candles that end with it, in percent of its close, of
    every row that has `WARMUP` rows before it.
    """
    market = Market(candles)
    return (100.0 * mean(market.true_range, _ROWS) / market.close)[WARMUP:]


def reach(atr_pct: Series, usual_atr_pct: float) -> Series:
    """How many times as far as usual the returns after such rows are expected to go."""
    result: Series = np.clip((atr_pct / usual_atr_pct) ** _POWER, _LEAST, _MOST)
    return result
