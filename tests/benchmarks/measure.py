"""How time is taken, and the tables that say what it was."""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

import psutil

Work = Callable[[], object]
Clock = Callable[[], float]

#: Counts what this process computes, in all its threads, whatever else the machine does.
CPU: Final[Clock] = time.process_time
WALL: Final[Clock] = time.perf_counter

_SCALES: Final = {"s": 1.0, "ms": 1e3, "us": 1e6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Seconds for each piece of work: medians over turns. `ratio` is the median of the turns' own
    ratios, yardstick over ours, which a machine that slows down for both leaves as it is.
    """

    ours: float
    yardstick: float
    ratio: float


def in_turns(
    ours: Work, yardstick: Work, *, turns: int, times: tuple[int, int] = (1, 1), clock: Clock = CPU
) -> Pair:
    """Do both in turns, each as many `times` per turn as it takes to be more than the clock's tick.

    Each is done once before, unmeasured, if it is to be measured more than once.
    """
    if turns > 1:
        ours(), yardstick()
    pairs = [
        (
            seconds(ours, times=times[0], clock=clock),
            seconds(yardstick, times=times[1], clock=clock),
        )
        for _ in range(turns)
    ]
    return paired(pairs)


def paired(turns: list[tuple[float, float]]) -> Pair:
    """From the seconds of ours and of the yardstick in each turn."""
    return Pair(
        ours=statistics.median(ours for ours, _ in turns),
        yardstick=statistics.median(yardstick for _, yardstick in turns),
        ratio=statistics.median(yardstick / ours for ours, yardstick in turns),
    )


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def seconds(work: Work, *, times: int = 1, clock: Clock = CPU) -> float:
    """Of one piece of work, when it is done so many times in a row."""
    started = clock()
    for _ in range(times):
        work()
    return (clock() - started) / times


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is to be reached, of the ratio where the row has one, else of the value."""

    limit: float
    kind: Literal["at least", "at most"]

    def met(self, value: float) -> bool:
        return value >= self.limit if self.kind == "at least" else value <= self.limit


def at_least(limit: float) -> Goal:
    return Goal(limit=limit, kind="at least")


def at_most(limit: float) -> Goal:
    return Goal(limit=limit, kind="at most")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table. `ours` and `yardstick` are in `unit`."""

    what: str
    ours: float
    unit: str
    yardstick: float | None = None
    ratio: float | None = None
    goal: Goal | None = None

    @property
    def met(self) -> bool | None:
        judged = self.ours if self.ratio is None else self.ratio
        return None if self.goal is None else self.goal.met(judged)


def times_less(what: str, pair: Pair, unit: str, goal: Goal | None = None) -> Row:
    """How many times what we need the yardstick does."""
    return _row(what, pair, unit, pair.ratio, goal)


def times_more(what: str, pair: Pair, unit: str, goal: Goal | None = None) -> Row:
    """How many times what the yardstick needs we do."""
    return _row(what, pair, unit, 1.0 / pair.ratio, goal)


def value(what: str, seconds: float, unit: str, goal: Goal | None = None) -> Row:
    """A time that stands for itself."""
    return Row(what=what, ours=seconds * _SCALES[unit], unit=unit, goal=goal)


def _row(what: str, pair: Pair, unit: str, ratio: float, goal: Goal | None) -> Row:
    scale = _SCALES[unit]
    return Row(
        what=what,
        ours=pair.ours * scale,
        unit=unit,
        yardstick=pair.yardstick * scale,
        ratio=ratio,
        goal=goal,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What one topic found. `notes` say how it was measured, one paragraph each."""

    title: str
    notes: tuple[str, ...]
    rows: tuple[Row, ...]


def others() -> float:
    """The share of the machine that is in use, looked at for a second while we do nothing."""
    return psutil.cpu_percent(interval=1.0) / 100.0


def quietness() -> str:
    """A sentence for tables of wall time, which mean nothing on a busy machine."""
    share = others()
    if share < 0.1:
        return "The machine was quiet before."
    return (
        f"The machine was not quiet: {share:.0%} of it were in use before. "
        "Take these times on a quiet one."
    )
