"""Schedules in stream EVERTRAIN_CLOCK: JetStream keeps the time, whoever is there takes ticks."""

import asyncio
from collections.abc import Iterable

import nats.errors
from nats.js.errors import BadRequestError, NotFoundError

from services.scheduler.domain.cadence import Schedule
from shared.bus.connection import Connection
from shared.contracts import subjects
from shared.contracts.errors import InvalidSetting, Unavailable

#: A tick that nobody takes within this time is not acted on any more.
_TICK_TTL = "1h"
_TIMEOUT_S = 5.0


async def install(
    connection: Connection, schedules: Iterable[Schedule], *, names: Iterable[str]
) -> None:
    """Make `schedules` the ones in force; of `names`, those that are not among them end.

    A schedule that is in force already is left alone: storing it again would begin its period anew.

    Raises:
        InvalidSetting: NATS does not accept an expression or a time zone; it says which.
        Unavailable: NATS does not answer.
    """
    wanted = {schedule.name: schedule for schedule in schedules}
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            for name in names:
                if name in wanted:
                    await _install(connection, wanted[name])
                else:
                    await connection.js.purge_stream(
                        subjects.CLOCK, subject=subjects.schedule(name)
                    )
    except (nats.errors.Error, OSError, TimeoutError) as exc:
        raise Unavailable("NATS did not take the schedules") from exc


async def _install(connection: Connection, schedule: Schedule) -> None:
    headers = {
        "Nats-Schedule": schedule.expression,
        "Nats-Schedule-Target": subjects.tick(schedule.name),
        "Nats-Schedule-TTL": _TICK_TTL,
    }
    if schedule.cron is not None:
        headers["Nats-Schedule-Time-Zone"] = schedule.zone
    subject = subjects.schedule(schedule.name)
    if await _stored(connection, subject) != headers:
        try:
            await connection.js.publish(subject, b"", headers={**headers}, stream=subjects.CLOCK)
        except BadRequestError as exc:
            raise InvalidSetting(
                f"NATS does not accept the {schedule.name} schedule {schedule.expression!r} "
                f"in {schedule.zone}: {exc.description}"
            ) from exc


async def _stored(connection: Connection, subject: str) -> dict[str, str]:
    try:
        message = await connection.js.get_last_msg(subjects.CLOCK, subject)
    except NotFoundError:
        return {}
    return {
        name: value
        for name, value in (message.headers or {}).items()
        if name.startswith("Nats-Schedule")
    }
