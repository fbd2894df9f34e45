"""What followed a signal, in the shares that it was decided in."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from shared.contracts.trading import Signal
from shared.market.candles import ROW, between
from shared.model.candles import view
from shared.model.splits import MEMORY, Split, adjusted
from shared.trading.settlement import Row

#: Where a market rests most of the time, its candles lie so much farther apart than they are long;
#: and it may just have paused.
_SPARSE: Final = 8
_PAUSE: Final = timedelta(days=7)


def needed_since_ms(signal: Signal) -> int:
    """To tell a split takes candles before it."""
    span = timedelta(seconds=signal.timeframe.seconds) * MEMORY * _SPARSE + _PAUSE
    return _ms(signal.candle_at - span)


def sequel(signal: Signal, rows: bytes) -> list[Row]:
    """Of packed candles, oldest first, those behind the signal's own, at prices as if no share had
    been split since: who holds two for one has lost nothing.

    Raises:
        CandlesRefused: there are candles that nothing can be computed from.
    """
    own_ms = _ms(signal.candle_at)
    _, splits = adjusted(view(rows))
    behind = between(rows, own_ms + 1, None)
    return list(_in_old_shares(behind, [split for split in splits if split.at_ms > own_ms]))


def _in_old_shares(rows: bytes, splits: list[Split]) -> Iterator[Row]:
    for at_ms, opened, high, low, closed, volume in ROW.iter_unpack(rows):
        ratios = (split.ratio for split in splits if split.at_ms <= at_ms)
        shares = float(math.prod(ratios, start=Fraction(1)))
        yield at_ms, opened * shares, high * shares, low * shares, closed * shares, volume


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
