"""The closed vocabularies of the contract."""

from enum import StrEnum
from typing import Final

#: Candles ahead. Horizons are small positive numbers; a model states which ones it has.
Horizon = int

LEARNERS: Final = ("xgboost", "lightgbm", "catboost", "basic")

#: The name under which what is made of all learners is scored.
ENSEMBLE: Final = "ensemble"


class Timeframe(StrEnum):
    """The length of a candle."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    H1 = "1h"
    H4 = "4h"
    D1 = "1d"

    @property
    def seconds(self) -> int:
        return _SECONDS[self]

    @property
    def ms(self) -> int:
        return _SECONDS[self] * 1000

    @property
    def per_day(self) -> int:
        return 86_400 // _SECONDS[self]


_SECONDS: Final = {
    Timeframe.M1: 60,
    Timeframe.M5: 300,
    Timeframe.M15: 900,
    Timeframe.H1: 3600,
    Timeframe.H4: 14_400,
    Timeframe.D1: 86_400,
}


class Mode(StrEnum):
    """How much a run trains."""

    CYCLE = "cycle"
    INCREMENTAL = "incremental"
    FULL = "full"
    QUICK = "quick"


class Source(StrEnum):
    """Who asked for a run."""

    AUTOMATION = "automation"
    CRONTAB = "crontab"
    MANUAL = "manual"
    API = "api"
    DRIFT = "drift"


class Status(StrEnum):
    """Where a run or a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self not in (Status.QUEUED, Status.RUNNING)


class Direction(StrEnum):
    UP = "up"
    DOWN = "down"
