"""A tick ledger in memory, and JetStream's own idea of a cron expression."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from math import gcd
from zoneinfo import ZoneInfo

from services.scheduler.domain.cadence import Schedule
from shared.contracts.errors import Conflict
from shared.contracts.records import TickRecord

_SUNDAY_IS_0 = 7


class MemoryLedger:
    def __init__(self) -> None:
        self.records: dict[tuple[str, datetime], TickRecord] = {}

    async def find(self, schedule: str, due: datetime) -> TickRecord | None:
        return self.records.get((schedule, due))

    async def note(self, tick: TickRecord) -> None:
        if (tick.schedule, tick.due) in self.records:
            raise Conflict("noted already")
        await self.finish(tick)

    async def finish(self, tick: TickRecord) -> None:
        self.records[tick.schedule, tick.due] = tick


def wake_ups(schedule: Schedule, since: datetime, until: datetime) -> Iterator[datetime]:
    """When JetStream wakes us, from the hour `since`: at each whole minute whose local time matches
    the six fields of the expression. So it skips and repeats what the clocks do (nats-server's
    cron.go).
    """
    _, *fields = schedule.expression.split()
    minutes, hours, days, months, weekdays = map(_numbers, fields)
    either = not {"*"} & {fields[2], fields[4]}
    at, zone = since, ZoneInfo(schedule.zone)
    # Zones are apart by quarters of an hour, so no minute between can match.
    step = timedelta(minutes=gcd(15, *minutes))
    while at < until:
        local = at.astimezone(zone)
        right_day = local.day in days, local.isoweekday() % _SUNDAY_IS_0 in weekdays
        if (
            local.minute in minutes
            and local.hour in hours
            and local.month in months
            and (any(right_day) if either else all(right_day))
        ):
            yield at
        at += step


def _numbers(field: str) -> set[int]:
    """Of a star, a star with a step, or a list of numbers."""
    if field.startswith("*"):
        return set(range(0, 60, int(field.removeprefix("*/") if "/" in field else 1)))
    return {int(number) for number in field.split(",")}
