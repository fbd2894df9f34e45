"""How fast a client may talk."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from shared.contracts.errors import Transient

#: Callers who are remembered. Whoever is forgotten begins anew, so it is more than a few.
_MOST_CALLERS: Final = 10_000


class TooManyRequests(Transient):
    """The caller is to wait for `retry_after_s` seconds."""

    code = "too_many_requests"

    def __init__(self, per_second: float, retry_after_s: int) -> None:
        super().__init__(
            f"more than {per_second:g} requests a second; ask again in {retry_after_s} s, "
            f"or listen to the websocket"
        )
        self.retry_after_s = retry_after_s


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

    @property
    def left(self) -> float:
        """How many messages would be allowed at once."""
        return self.burst - self._spent


class Quota(NamedTuple):
    """How many requests are left at once, and in how many seconds it will be all of them again."""

    left: int
    full_in_s: int


class Quotas:
    """So many requests a second for each caller, and twice as many at once.

    `tick` is any clock that only grows, in seconds.
    """

    def __init__(self, per_second: float, tick: Callable[[], float]) -> None:
        self.per_second = per_second
        self.burst = 2 * per_second
        self._tick = tick
        self._callers: OrderedDict[str, Pace] = OrderedDict()

    def take(self, caller: str) -> Quota:
        """Count one more request.

        Raises:
            TooManyRequests: it is one too many.
        """
        now = self._tick()
        pace = self._callers.get(caller)
        if pace is None:
            pace = self._callers[caller] = Pace(self.per_second, self.burst, now)
            if len(self._callers) > _MOST_CALLERS:
                self._callers.popitem(last=False)
        else:
            self._callers.move_to_end(caller)
        if not pace.allows(now):
            wait_s = (1.0 - pace.left) / self.per_second
            raise TooManyRequests(self.per_second, max(1, math.ceil(wait_s)))
        return Quota(int(pace.left), math.ceil((self.burst - pace.left) / self.per_second))
