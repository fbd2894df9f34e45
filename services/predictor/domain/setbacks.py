"""What failed, and when it is worth trying again."""

from dataclasses import dataclass
from typing import Final

from shared.contracts.records import Problem

_FIRST_S: Final = 1.0
_MOST_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """The same thing failed `times` in a row, last with `problem`. It is not tried again before
    tick `until`, however many ask for it.
    """

    problem: Problem
    times: int
    until: float

    def holds(self, tick: float) -> bool:
        return tick < self.until


def setback(problem: Problem, before: Setback | None, tick: float) -> Setback:
    """The next setback: after 1 s, then twice as long each time, up to five minutes."""
    times = before.times + 1 if before else 1
    delay = min(_FIRST_S * 2.0 ** min(times - 1, 30), _MOST_S)
    return Setback(problem=problem, times=times, until=tick + delay)
