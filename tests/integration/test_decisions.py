"""What people decide, kept on a real NATS; and the fake of it, which must do the same."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from nats.js.errors import NotFoundError

from services.scheduler.adapters.decisions import StoredRecord
from services.scheduler.adapters.outlet import CandleTicks
from services.scheduler.adapters.schedules import install
from services.scheduler.automation import keep_schedules
from services.scheduler.domain.cadence import CANDLES, PREGENERATION, REVIEW, Intervals
from services.scheduler.domain.configuration import beginning, schedules
from services.scheduler.domain.decisions import Decisions
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.contracts import subjects
from shared.contracts.configuration import Configuration, Configured
from shared.contracts.errors import Conflict, MalformedMessage
from shared.contracts.records import Universe
from shared.contracts.terms import Mode, Timeframe
from shared.runtime.tasks import alongside
from tests.support.coordination import BEGIN, symbols
from tests.support.decisions import MemoryRecord
from tests.support.system import eventually

FIRST = beginning(Configuration(), BEGIN)
SECOND = replace(FIRST, revision=2, changed_by="api", enabled=True)
UNIVERSE = Universe(symbols=symbols(2), timeframe=Timeframe.D1, horizons=(1, 3), revision=1)

#: Time zones are read from files, once: here, where no loop is blocked.
for schedule in schedules(FIRST, Intervals()):
    schedule.next_after(BEGIN)

Record = StoredRecord[Configured] | MemoryRecord[Configured]


@pytest.fixture(params=["real", "fake"])
def record(request: pytest.FixtureRequest) -> Record:
    if request.param == "fake":
        return MemoryRecord()
    connection = request.getfixturevalue("connection")
    return StoredRecord(connection, subjects.CONFIGURATION, Configured)


async def test_nothing_is_there_before_the_first(record: Record) -> None:
    assert await record.read() is None
    assert await record.history() == []


async def test_a_record_comes_back_as_it_was_written(record: Record) -> None:
    await record.replace(FIRST, 0)
    stored = await record.read()
    assert stored is not None
    assert stored.record == FIRST


async def test_of_two_firsts_one_is_refused(record: Record) -> None:
    await record.replace(FIRST, 0)
    with pytest.raises(Conflict):
        await record.replace(SECOND, 0)


async def test_a_replacement_of_something_older_is_refused(record: Record) -> None:
    await record.replace(FIRST, 0)
    stored = await record.read()
    assert stored is not None
    await record.replace(SECOND, stored.place)
    with pytest.raises(Conflict):
        await record.replace(SECOND, stored.place)
    assert await record.history() == [FIRST, SECOND]


async def test_whoever_follows_hears_what_is_and_what_changes(record: Record) -> None:
    await record.replace(FIRST, 0)
    async with aclosing(record.changes()) as changes, asyncio.timeout(10):
        assert await anext(changes) == FIRST
        stored = await record.read()
        assert stored is not None
        await record.replace(SECOND, stored.place)
        assert await anext(changes) == SECOND


async def test_what_cannot_be_read_is_skipped_by_whoever_follows(connection: Connection) -> None:
    record = StoredRecord(connection, subjects.CONFIGURATION, Configured)
    await record.replace(FIRST, 0)
    bucket = Bucket(connection, subjects.CONFIG)
    async with aclosing(record.changes()) as changes, asyncio.timeout(10):
        assert await anext(changes) == FIRST
        place = await bucket.put(subjects.CONFIGURATION, b'{"train_epochs":"many"}')
        await record.replace(SECOND, place)
        assert await anext(changes) == SECOND


async def test_what_cannot_be_read_is_named_with_its_place(connection: Connection) -> None:
    await Bucket(connection, subjects.CONFIG).put(subjects.CONFIGURATION, b"{}")
    record = StoredRecord(connection, subjects.CONFIGURATION, Configured)
    with pytest.raises(MalformedMessage, match="key training of KV evertrain_config"):
        await record.read()


async def test_universe_and_configuration_are_told_apart(connection: Connection) -> None:
    await StoredRecord(connection, subjects.CONFIGURATION, Configured).replace(FIRST, 0)
    universes = StoredRecord(connection, subjects.UNIVERSE, Universe)
    assert await universes.read() is None
    await universes.replace(UNIVERSE, 0)
    assert await universes.history() == [UNIVERSE]


async def test_the_same_revision_of_the_universe_fetches_candles_once(
    connection: Connection, publisher: Publisher
) -> None:
    for revision in (2, 2, 3):
        await CandleTicks(publisher).hurry(revision)
    clock = await connection.js.stream_info(subjects.CLOCK)
    assert clock.state.last_seq == 2


async def _stored_schedule(connection: Connection, name: str) -> tuple[int, str] | None:
    try:
        found = await connection.js.get_last_msg(subjects.CLOCK, subjects.schedule(name))
    except NotFoundError:
        return None
    return found.seq or 0, (found.headers or {})["Nats-Schedule"]


async def test_a_change_reaches_the_schedules_of_nats_and_leaves_the_others_alone(
    connection: Connection,
) -> None:
    record = StoredRecord(connection, subjects.CONFIGURATION, Configured)
    await record.replace(FIRST, 0)
    decisions = Decisions(universe=UNIVERSE, configured=FIRST)
    names = (CANDLES, REVIEW, PREGENERATION, *Mode)

    async def put_in_force() -> None:
        wanted = schedules(decisions.configured, Intervals())
        await install(connection, wanted, names=names)

    async def change(**changes: Any) -> None:
        stored = await record.read()
        assert stored is not None
        wanted = replace(stored.record, revision=stored.record.revision + 1, **changes)
        await record.replace(wanted, stored.place)

    async def full_is(expression: str) -> bool:
        stored = await _stored_schedule(connection, "full")
        return stored is not None and stored[1] == expression

    following = keep_schedules(record.changes(), decisions, put_in_force)
    async with alongside(following, name="follow"):
        await eventually(lambda: full_is("0 0 2 * * 0"), within=10)
        incremental = await _stored_schedule(connection, "incremental")
        assert await _stored_schedule(connection, "cycle") is None
        await change(enabled=True, cycle_minutes=20.0, full_retrain_schedule="30 4 * * 6")
        await eventually(lambda: full_is("0 30 4 * * 6"), within=10)
        cycle = await _stored_schedule(connection, "cycle")
        assert cycle is not None
        assert cycle[1] == "0 */20 * * * *"
        assert await _stored_schedule(connection, "incremental") == incremental
        await change(enabled=False)

        async def rests() -> bool:
            return await _stored_schedule(connection, "cycle") is None

        await eventually(rests, within=10)
