"""What the newest candle says."""

from typing import NamedTuple

from shared.contracts.records import Forecast


class Reading(NamedTuple):
    """One forecast per horizon, and what they are relative to: see `Prediction`."""

    forecasts: tuple[Forecast, ...]
    close: float
    atr_pct: float
