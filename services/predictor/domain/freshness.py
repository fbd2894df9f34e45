"""How long a prediction may be served as the newest, and which of two is the newer."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from shared.contracts import codec
from shared.contracts.records import Prediction

#: A prediction that has so much of its time left was made just now.
_NEW: Final = 0.9


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
    """A prediction in memory, `body` as it is sent, and the ticks at which it was made and stops
    being fresh.
    """

    prediction: Prediction
    body: bytes
    made: float
    best_before: float

    @classmethod
    def of(cls, prediction: Prediction, now: Moment) -> "Entry":
        """Of a prediction that was made now, or before: a clock that was set back in between does
        not lengthen its life.
        """
        ttl = prediction.expires_at - prediction.generated_at
        age = max(now.at - prediction.generated_at, timedelta(0))
        return cls(
            prediction=prediction,
            body=codec.encode(prediction),
            made=now.tick - age.total_seconds(),
            best_before=now.tick + (ttl - age).total_seconds(),
        )

    @classmethod
    def of_last_resort(cls, prediction: Prediction) -> "Entry":
        """Of a prediction that is never fresh."""
        return cls(prediction=prediction, body=codec.encode(prediction), made=0.0, best_before=0.0)

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


def just_made(prediction: Prediction, ttl: timedelta, now: datetime) -> bool:
    """Whether making it now, to live for `ttl`, would give hardly anything but the same again."""
    left = prediction.expires_at - now
    return _NEW * ttl <= left <= ttl


def outlives(other: Prediction, prediction: Prediction) -> bool:
    """Whether the other says the same for longer."""
    return (
        other.model_version == prediction.model_version
        and other.candle_at == prediction.candle_at
        and other.expires_at > prediction.expires_at
        and not other.stale
    )


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
