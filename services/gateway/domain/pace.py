"""How fast a client may talk."""

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """A bucket of tokens: `burst` messages at once, `per_second` in the long run.

    `now` is any clock that only grows, in seconds.
    """

    per_second: float
    burst: float
    now: float
    _spent: float = 0.0

    def allows(self, now: float) -> bool:
        """Whether one more message is within bounds; counts it if so."""
        self._spent = max(0.0, self._spent - (now - self.now) * self.per_second)
        self.now = now
        if self._spent + 1 > self.burst:
            return False
        self._spent += 1
        return True
