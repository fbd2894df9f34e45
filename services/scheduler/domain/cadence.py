"""When things are due: schedules as JetStream keeps them, and the instants they name."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from shared.contracts.errors import InvalidSetting
from shared.contracts.terms import Mode

#: Names of ticks; the training ticks are named like their modes.
CANDLES: Final = "candles"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Either a five-field cron expression in a time zone, or a period in whole seconds."""

    name: str
    cron: str | None = None
    zone: str = "UTC"
    every: timedelta | None = None

    @property
    def expression(self) -> str:
        """The value of the header `Nats-Schedule`: six fields, the first for the second."""
        if self.every is not None:
            return f"@every {self.every // timedelta(seconds=1)}s"
        return f"0 {self.cron}"

    def next_after(self, now: datetime) -> datetime:
        """The next instant, in UTC; for a period the latest it can be."""
        if self.every is not None:
            return now + self.every
        local = CronSim(str(self.cron), now.astimezone(ZoneInfo(self.zone)))
        return next(local).astimezone(UTC)


def every_minutes(name: str, minutes: float) -> Schedule:
    """A period that divides the hour falls on round minutes of the clock; any other repeats from
    when it is stored, to the second.
    """
    if minutes >= 1 and 60 % minutes == 0 and minutes == int(minutes):
        return Schedule(name=name, cron=f"*/{minutes:g} * * * *")
    return Schedule(name=name, every=timedelta(seconds=round(minutes * 60)))


def checked_cron(variable: str, expression: str, zone: str) -> Schedule:
    """The schedule of a setting.

    Raises:
        InvalidSetting: not five cron fields, never due, or no such zone; it says which and why.
    """
    mode = Mode.FULL if variable.startswith("FULL") else Mode.INCREMENTAL
    if len(expression.split()) != 5:
        raise InvalidSetting(
            f"{variable}={expression!r} is not allowed: set five cron fields, like 0 2 * * 0"
        )
    schedule = Schedule(name=mode, cron=expression, zone=zone)
    try:
        schedule.next_after(datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as exc:
        raise InvalidSetting(f"{variable}={expression!r} is not allowed: {exc}") from exc
    except StopIteration:
        raise InvalidSetting(f"{variable}={expression!r} is never due") from None
    except (KeyError, ValueError, OSError):
        raise InvalidSetting(
            f"SCHEDULE_TIMEZONE={zone!r} is not allowed: set a zone like UTC or Europe/Istanbul"
        ) from None
    return schedule
