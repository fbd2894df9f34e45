"""When things are due: schedules, the instants they name, and how JetStream is told of them.

The instants of a schedule follow from itself and the calendar alone, so everyone agrees on them.
JetStream wakes us at these, and now and then at others: which instant a wake-up is about is said
here, and whether it was acted on already by the ledger.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from shared.contracts.errors import InvalidSetting

#: Names of ticks; the training ticks are named like their modes.
CANDLES: Final = "candles"
PREGENERATION: Final = "pregeneration"
REVIEW: Final = "review"
CLEANUP: Final = "cleanup"
DRIFT: Final = "drift"

#: How long before a full run its predictions are made.
PREGENERATED_AHEAD: Final = timedelta(minutes=5)

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_PATIENCE: Final = 12 * _HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Either a five-field cron expression in a time zone, or a period in whole seconds.

    A period is due at its multiples since 1970; of those, one in `one_in`. A cron expression is due
    `ahead` of its instants, which is whole minutes, less than an hour. A fixed local time that the
    clocks skip is due when they have skipped it, and one that they repeat is due the first time;
    with a wildcard for the hour, real time counts.
    """

    name: str
    cron: str | None = None
    zone: str = "UTC"
    every: timedelta | None = None
    one_in: int = 1
    ahead: timedelta = timedelta(0)

    @property
    def expression(self) -> str:
        """The value of the header `Nats-Schedule`: due at every instant of ours, or more often.

        JetStream's cron knows no weekday 7, no last day of a month and no nth weekday, and it skips
        and repeats local times as the clocks do.
        """
        if self.every is not None:
            return _period(self.every)
        cron = CronSim(str(self.cron), _EPOCH)
        if self.ahead:
            minutes = {(minute - self.ahead // _MINUTE) % 60 for minute in cron.minutes}
            return f"0 {_listed(minutes, range(60))} * * * *"
        minutes_and_hours = f"{_listed(cron.minutes, range(60))} {_listed(cron.hours, range(24))}"
        day, weekday = _days(cron)
        return f"0 {minutes_and_hours} {day} {_listed(cron.months, range(1, 13))} {weekday}"

    def next_after(self, now: datetime) -> datetime:
        """The first instant after `now`, in UTC."""
        if self.every is not None:
            return self.due_by(now) + self.every * self.one_in
        moment = now + self.ahead
        return next(at for at in self._from(moment) if at > moment) - self.ahead

    def due_by(self, now: datetime) -> datetime:
        """The last instant that is not after `now`, in UTC."""
        if self.every is not None:
            return now - (now - _EPOCH) % (self.every * self.one_in)
        moment = (now + self.ahead).replace(microsecond=0)
        back = self._from(moment + timedelta(seconds=1), reverse=True)
        found = next(at for at in back if at <= moment)
        # Backwards, an hour that the clocks repeat hides the instants in its first half.
        for at in takewhile(lambda at: at <= moment, self._from(found)):
            found = max(found, at)
        return found - self.ahead

    def before(self, due: datetime) -> Iterator[datetime]:
        """The instants before this one, newest first, for ever."""
        while True:
            due = self.due_by(due - timedelta(seconds=1))
            yield due

    def patience(self, due: datetime) -> timedelta:
        """How late an instant may still be acted on: half the time to the next one, at least a
        minute and at most 12 hours.
        """
        half = (self.next_after(due) - due) / 2
        return min(max(half, _MINUTE), _LONGEST_PATIENCE)

    def _from(self, moment: datetime, *, reverse: bool = False) -> Iterator[datetime]:
        local = CronSim(str(self.cron), moment.astimezone(ZoneInfo(self.zone)), reverse)
        return (at.astimezone(UTC) for at in local)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """How often is due what has no cron expression and is no part of the configuration."""

    candle_minutes: float = 15.0
    signal_minutes: float = 5.0
    drift_hours: float = 24.0
    cleanup_hours: float = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A schedule, and since when JetStream has it: what was due before is nothing to catch up."""

    schedule: Schedule
    since: datetime


def every_minutes(name: str, minutes: float, *, one_in: int = 1) -> Schedule:
    """The period of so many minutes, rounded to whole seconds."""
    return Schedule(name=name, every=timedelta(seconds=round(minutes * 60)), one_in=one_in)


def every_hours(name: str, hours: float) -> Schedule:
    return every_minutes(name, hours * 60)


def review() -> Schedule:
    """When to look for what was due and not acted on. Whatever the zone, the clocks change at a
    quarter of an hour, so what they skip is in time.
    """
    return every_minutes(REVIEW, 15)


def pregeneration(full: Schedule) -> Schedule:
    """When to make predictions for the time of a full run."""
    return Schedule(name=PREGENERATION, cron=full.cron, zone=full.zone, ahead=PREGENERATED_AHEAD)


def checked_cron(name: str, expression: str, zone: str, *, setting: str) -> Schedule:
    """The schedule `name`; `setting` is what the user calls the expression.

    Raises:
        InvalidSetting: not five cron fields, or never due; it says which and why.
    """
    if len(expression.split()) != 5:
        raise InvalidSetting(
            f"{setting}={expression!r} is not allowed: set five cron fields, like 0 2 * * 0"
        )
    schedule = Schedule(name=name, cron=expression, zone=zone)
    try:
        schedule.next_after(datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as exc:
        raise InvalidSetting(f"{setting}={expression!r} is not allowed: {exc}") from exc
    except StopIteration:
        raise InvalidSetting(f"{setting}={expression!r} is never due") from None
    return schedule


def check_zone(zone: str, *, setting: str) -> None:
    """Raises InvalidSetting: there is no such time zone."""
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise InvalidSetting(
            f"{setting}={zone!r} is not allowed: set a zone like UTC or Europe/Istanbul"
        ) from None


def _period(every: timedelta) -> str:
    """As a cron expression where the period divides a minute, an hour or a day, so that it falls on
    its multiples; any other repeats from when it is stored.
    """
    seconds = every // timedelta(seconds=1)
    if _MINUTE % every == timedelta(0):
        return f"*/{seconds} * * * * *"
    if _HOUR % every == every % _MINUTE == timedelta(0):
        return f"0 */{seconds // 60} * * * *"
    if _DAY % every == every % _HOUR == timedelta(0):
        return f"0 0 */{seconds // 3600} * * *"
    return f"@every {seconds}s"


def _days(cron: CronSim) -> tuple[str, str]:
    """The fields of day and weekday. Where both are restricted either is enough, for JetStream; for
    us they may have to agree, which is less often.
    """
    _, _, _, day, _, weekday = cron.parts
    plain = [one for one in cron.weekdays if isinstance(one, int)]
    if min(cron.days) < 0 or len(plain) < len(cron.weekdays):
        return "*", "*"
    days = day if day == "*" else _listed(cron.days)
    return days, weekday if weekday == "*" else _listed({one % 7 for one in plain})


def _listed(values: Iterable[int], whole: range = range(0)) -> str:
    found = sorted(values)
    return "*" if found == list(whole) else ",".join(map(str, found))
