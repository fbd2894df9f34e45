"""How many candles a model needs to see. No numpy here: whoever reads candles asks this."""

from typing import Final

from shared.contracts.terms import Timeframe

#: No feature looks further back than this many rows before its own: its values come from the newest
#: 100 rows, and whether there was a split among these is told by some rows before them.
WARMUP: Final = 120

#: A window is never shorter than this many rows, however few days it spans: 90 daily candles are
#: too few to judge anything by.
MIN_WINDOW: Final = 250


def rows_to_read(timeframe: Timeframe, days_back: int) -> int:
    """The newest candles that a training over `days_back` days is to be given."""
    return max(days_back * timeframe.per_day, MIN_WINDOW) + WARMUP
