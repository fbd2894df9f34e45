import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from services.scheduler.adapters.schedules import install
from services.scheduler.domain.cadence import (
    PREGENERATION,
    Schedule,
    every_minutes,
    pregeneration,
)
from shared.bus.connection import Connection
from shared.bus.consumer import Delivery, Work, consume
from shared.bus.publisher import Publisher
from shared.contracts import subjects
from shared.contracts.errors import InvalidSetting
from shared.contracts.terms import Mode

FULL = Schedule(name=Mode.FULL, cron="0 2 * * 0", zone="Europe/Istanbul")
SECONDLY = Schedule(name="candles", every=timedelta(seconds=1))
NAMES = ("candles", *Mode)


async def stored(connection: Connection, name: str) -> RawStreamMsg | None:
    try:
        return await connection.js.get_last_msg(subjects.CLOCK, subjects.schedule(name))
    except NotFoundError:
        return None


async def expression(connection: Connection, name: str) -> str | None:
    message = await stored(connection, name)
    return (message.headers or {})["Nats-Schedule"] if message else None


async def test_a_schedule_is_stored_with_its_zone_and_target(connection: Connection) -> None:
    await install(connection, [FULL], names=NAMES)
    message = await stored(connection, "full")
    assert message is not None
    headers = message.headers or {}
    assert {name: headers[name] for name in headers if name.startswith("Nats-Schedule")} == {
        "Nats-Schedule": "0 0 2 * * 0",
        "Nats-Schedule-Target": "evertrain.tick.full",
        "Nats-Schedule-TTL": "1h",
        "Nats-Schedule-Time-Zone": "Europe/Istanbul",
    }


async def test_a_schedule_that_is_in_force_is_left_alone_so_that_its_period_goes_on(
    connection: Connection,
) -> None:
    slow = every_minutes("candles", 7)
    await install(connection, [FULL, slow], names=NAMES)
    before = [await stored(connection, name) for name in ("full", "candles")]
    await install(connection, [FULL, slow], names=NAMES)
    assert [await stored(connection, name) for name in ("full", "candles")] == before


async def test_a_changed_schedule_replaces_the_old_one(connection: Connection) -> None:
    await install(connection, [FULL], names=NAMES)
    await install(connection, [Schedule(name=Mode.FULL, cron="0 3 * * *")], names=NAMES)
    assert await expression(connection, "full") == "0 0 3 * * *"


async def test_a_schedule_that_is_no_longer_wanted_ends(connection: Connection) -> None:
    await install(connection, [FULL, every_minutes("candles", 7)], names=NAMES)
    await install(connection, [FULL], names=NAMES)
    assert await stored(connection, "candles") is None
    assert await expression(connection, "full") is not None


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(name=Mode.FULL, cron="0 2 * * 0", zone="Mars/Olympus"),
        Schedule(name=Mode.FULL, every=timedelta(milliseconds=500)),
    ],
)
async def test_what_nats_does_not_accept_is_a_setting_to_mend(
    connection: Connection, schedule: Schedule
) -> None:
    with pytest.raises(InvalidSetting, match="full schedule"):
        await install(connection, [schedule], names=NAMES)


@pytest.mark.parametrize(
    "cron",
    ["0 2 * * 7", "0 2 L * *", "0 2 * * MON#1", "30 2 * jan-mar SUN,5-7", "*/20 1-5/2 1,15 * *"],
)
async def test_every_expression_that_a_setting_can_have_is_accepted(
    connection: Connection, cron: str
) -> None:
    full = Schedule(name=Mode.FULL, cron=cron, zone="Australia/Lord_Howe")
    installed = await install(connection, [pregeneration(full), full], names=NAMES)
    assert [one.schedule.name for one in installed] == [PREGENERATION, Mode.FULL]


async def test_a_schedule_is_in_force_since_it_was_stored_first(connection: Connection) -> None:
    (before,) = await install(connection, [FULL], names=NAMES)
    (after,) = await install(connection, [FULL], names=NAMES)
    assert after == before
    (changed,) = await install(
        connection, [Schedule(name=Mode.FULL, cron="0 3 * * *")], names=NAMES
    )
    assert changed.since > before.since


@pytest.mark.parametrize("minutes", [1, 7, 15, 60, 1440, 0.05, 1.5, 1440 * 10_000])
async def test_every_period_that_a_setting_can_name_is_accepted(
    connection: Connection, minutes: float
) -> None:
    await install(connection, [every_minutes("candles", minutes)], names=NAMES)
    assert await stored(connection, "candles") is not None


@asynccontextmanager
async def replicas(
    connection: Connection, publisher: Publisher, count: int
) -> AsyncIterator[list[list[int]]]:
    """Consumers of the same durable; each notes the sequence numbers of the ticks it takes."""
    stop = asyncio.Event()
    taken: list[list[int]] = [[] for _ in range(count)]

    def worker(mine: list[int]) -> Work:
        async def on_tick(delivery: Delivery) -> None:
            mine.append(delivery.sequence)

        return Work(
            stream=subjects.CLOCK,
            durable="candle-ticks",
            filters=(subjects.tick("candles"),),
            handler=on_tick,
        )

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        stack.callback(stop.set)
        for mine in taken:
            group.create_task(consume(connection, publisher, worker(mine), stop))
        yield taken
        stop.set()


async def test_each_tick_is_taken_once_by_one_of_all_schedulers(
    connection: Connection, publisher: Publisher
) -> None:
    async with replicas(connection, publisher, 2) as taken:
        await install(connection, [SECONDLY], names=NAMES)
        await asyncio.sleep(3.6)
    ticks = sorted(sequence for mine in taken for sequence in mine)
    assert len(ticks) >= 3
    assert len(set(ticks)) == len(ticks)
