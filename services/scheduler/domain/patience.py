"""When to try again what was in vain."""

from dataclasses import dataclass
from datetime import datetime, timedelta

#: Doubling more often than this changes nothing any more, and would not fit a timedelta.
_MOST_DOUBLED = 20


@dataclass(frozen=True, slots=True)
class Patience:
    """`tries` were in vain since something last succeeded; none is due before `again_at`."""

    tries: int = 0
    again_at: datetime | None = None

    def over(self, now: datetime) -> bool:
        return self.again_at is None or now >= self.again_at

    def after_another(self, now: datetime, *, first: timedelta, most: timedelta) -> "Patience":
        """After one more try in vain: wait `first`, and twice as long each time, up to `most`."""
        wait = min(first * 2 ** min(self.tries, _MOST_DOUBLED), most)
        return Patience(self.tries + 1, now + wait)
