"""How long a prediction may be served as the newest, and which of two is the newer."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from shared.contracts.records import Prediction


class Moment(NamedTuple):
    """The present by two clocks: `at` can be set back, `tick` (seconds) only runs, but stands still
    while the machine sleeps. An age counts by whichever says more.
    """

    at: datetime
    tick: float


class Lapse(StrEnum):
    """Why a prediction is not the newest any more, as people are told."""

    MODEL = "a newer model is live"
    CANDLE = "a newer candle has closed"
    EXPIRED = "it is older than predictions may be"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A prediction in memory, and the ticks at which it was made and stops being fresh."""

    prediction: Prediction
    made: float
    best_before: float

    @classmethod
    def of(cls, prediction: Prediction, made: Moment) -> "Entry":
        ttl = prediction.expires_at - prediction.generated_at
        return cls(
            prediction=prediction, made=made.tick, best_before=made.tick + ttl.total_seconds()
        )

    @property
    def half_life(self) -> float:
        """When to renew it, so that nobody has to wait for it."""
        return (self.made + self.best_before) / 2


def lapse(
    entry: Entry, *, model_version: str, newest_candle: datetime | None, now: Moment
) -> Lapse | None:
    """Why the entry is not what would be computed now; None while it is."""
    prediction = entry.prediction
    if prediction.model_version != model_version:
        return Lapse.MODEL
    if newest_candle is not None and prediction.candle_at < newest_candle:
        return Lapse.CANDLE
    if now.tick >= entry.best_before or now.at >= prediction.expires_at:
        return Lapse.EXPIRED
    return None


def replaces(new: Prediction, stored: Prediction, now: datetime) -> bool:
    """Whether `new` should take the place of `stored`, which is of the same model version.

    What is equal replaces only a stored one that has not half as much time left, so that of several
    predictors one writes; a mark of staleness is set or taken away only by the later computation.
    """
    if new.candle_at != stored.candle_at:
        return new.candle_at > stored.candle_at
    if new.stale != stored.stale:
        return new.generated_at >= stored.generated_at
    left = max(stored.expires_at - now, timedelta(0))
    return new.expires_at > stored.expires_at and new.expires_at - now >= 2 * left
