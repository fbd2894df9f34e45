"""Schedules in stream EVERTRAIN_CLOCK: JetStream keeps the time, whoever is there takes ticks."""

import asyncio
from collections.abc import Iterable

import nats.errors
from nats.js.api import RawStreamMsg
from nats.js.errors import BadRequestError, NotFoundError

from services.scheduler.domain.cadence import InForce, Schedule
from shared.bus.connection import Connection
from shared.contracts import subjects
from shared.contracts.errors import InvalidSetting, Unavailable

#: A tick that nobody takes within this time is not acted on any more.
_TICK_TTL = "1h"
_TIMEOUT_S = 5.0


async def install(
    connection: Connection, schedules: Iterable[Schedule], *, names: Iterable[str]
) -> tuple[InForce, ...]:
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
                if name not in wanted:
                    await connection.js.purge_stream(
                        subjects.CLOCK, subject=subjects.schedule(name)
                    )
            return tuple([await _install(connection, schedule) for schedule in wanted.values()])
    except (nats.errors.Error, OSError, TimeoutError) as exc:
        raise Unavailable("NATS did not take the schedules") from exc


async def _install(connection: Connection, schedule: Schedule) -> InForce:
    headers = {
        "Nats-Schedule": schedule.expression,
        "Nats-Schedule-Target": subjects.tick(schedule.name),
        "Nats-Schedule-TTL": _TICK_TTL,
    }
    if schedule.cron is not None:
        headers["Nats-Schedule-Time-Zone"] = schedule.zone
    subject = subjects.schedule(schedule.name)
    stored = await _stored(connection, subject)
    if stored is None or _schedule_headers(stored) != headers:
        try:
            await connection.js.publish(subject, b"", headers={**headers}, stream=subjects.CLOCK)
        except BadRequestError as exc:
            raise InvalidSetting(
                f"NATS does not accept the {schedule.name} schedule {schedule.expression!r} "
                f"in {schedule.zone}: {exc.description}"
            ) from exc
        stored = await _stored(connection, subject)
    if stored is None or stored.time is None:
        raise Unavailable(f"NATS did not keep the {schedule.name} schedule")
    return InForce(schedule=schedule, since=stored.time)


async def _stored(connection: Connection, subject: str) -> RawStreamMsg | None:
    try:
        return await connection.js.get_last_msg(subjects.CLOCK, subject)
    except NotFoundError:
        return None


def _schedule_headers(message: RawStreamMsg) -> dict[str, str]:
    return {
        name: value
        for name, value in (message.headers or {}).items()
        if name.startswith("Nats-Schedule")
    }
