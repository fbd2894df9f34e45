import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.scheduler.adapters.decisions import StoredRecord
from services.scheduler.adapters.ledger import MissedTicks, TickLedger
from services.scheduler.adapters.outlet import TrainingRequests
from services.scheduler.adapters.progress import ProgressMirror
from services.scheduler.adapters.registry import RegistryMirror
from services.scheduler.domain.configuration import beginning
from services.trainer.adapters.planner import SchedulerPlanner
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.locks import TrainingLock
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.configuration import Configuration, Configured
from shared.contracts.errors import Conflict, Unavailable
from shared.contracts.events import JobFailed, JobProgressed
from shared.contracts.records import LockHolder, Problem, TickRecord, Universe
from shared.contracts.requests import TrainRequest
from shared.contracts.terms import Mode, Source, Status, Timeframe
from shared.runtime.tasks import alongside
from tests.support.coordination import BEGIN, job_record, model_record, symbols
from tests.support.system import eventually

ONE, TWO = symbols(2)
UNIVERSE = Universe(symbols=(ONE,), timeframe=Timeframe.D1, horizons=(1, 3))


async def test_the_mirror_of_an_empty_registry_is_complete(connection: Connection) -> None:
    mirror = RegistryMirror(connection)
    async with alongside(mirror.follow(), name="follow"), asyncio.timeout(5):
        await mirror.complete.wait()
    assert mirror.models == {}


async def test_the_mirror_is_complete_once_it_has_every_model(connection: Connection) -> None:
    bucket, mirror = Bucket(connection, subjects.MODELS), RegistryMirror(connection)
    for symbol in symbols(50):
        await bucket.put(symbol.token, codec.encode(model_record(symbol)))
    async with alongside(mirror.follow(), name="follow"), asyncio.timeout(5):
        await mirror.complete.wait()
    assert set(mirror.models) == set(symbols(50))


async def test_the_mirror_follows_promotions_and_removals(connection: Connection) -> None:
    bucket, mirror = Bucket(connection, subjects.MODELS), RegistryMirror(connection)
    await bucket.put(ONE.token, codec.encode(model_record(ONE)))
    newer = model_record(TWO, version="v2")

    async def followed() -> bool:
        return mirror.models == {TWO: newer}

    async with alongside(mirror.follow(), name="follow"):
        await mirror.complete.wait()
        await bucket.put(TWO.token, codec.encode(model_record(TWO)))
        await bucket.put(TWO.token, codec.encode(newer))
        await bucket.delete(ONE.token)
        await eventually(followed, within=5)


def progressed(percent: float) -> JobProgressed:
    return JobProgressed(
        id=f"job.progressed:{percent}",
        at=BEGIN,
        run_id="full-1",
        symbol=ONE,
        stage="fitting",
        progress_pct=percent,
    )


async def test_progress_is_that_of_the_last_event_until_the_job_has_ended(
    connection: Connection, publisher: Publisher
) -> None:
    mirror, stop = ProgressMirror(), asyncio.Event()
    running = job_record(ONE, Status.RUNNING)
    ended = JobFailed(
        id="job.failed", at=BEGIN, run_id="full-1", symbol=ONE, error=Problem(code="x", message="x")
    )

    async def shows(percent: float) -> None:
        async def shown() -> bool:
            return mirror.of(running) == percent

        await eventually(shown, within=5)

    async with alongside(mirror.follow(connection, stop), name="follow"):
        await connection.round_trip_ms()
        await publisher.emit(progressed(40))
        await shows(40)
        await connection.client.publish("evertrain.event.job.progressed.S0", b"no event")
        await publisher.emit(progressed(70))
        await shows(70)
        assert mirror.of(replace(running, run_id="full-2")) == 0
        assert mirror.of(replace(running, status=Status.SUCCEEDED, progress_pct=100)) == 100
        await publisher.emit(ended)
        await shows(0)


async def test_a_request_that_is_made_twice_is_queued_once(
    connection: Connection, publisher: Publisher
) -> None:
    requests = TrainingRequests(publisher)
    for _ in range(2):
        await requests.request(Mode.FULL, TrainRequest(request_id="full-1"))
    assert (await connection.js.stream_info(subjects.REQUESTS)).state.messages == 1


async def test_an_instant_is_noted_once_and_then_finished(connection: Connection) -> None:
    ledger = TickLedger(connection)
    first, second = (
        TickRecord(schedule="full", due=BEGIN, noted_at=BEGIN, missed=n) for n in (1, 2)
    )
    assert await ledger.find("full", BEGIN) is None
    await ledger.note(first)
    with pytest.raises(Conflict):
        await ledger.note(second)
    assert await ledger.find("full", BEGIN) == first
    await ledger.finish(replace(first, done_at=BEGIN))
    assert await ledger.find("full", BEGIN) == replace(first, done_at=BEGIN)
    assert await ledger.find("cycle", BEGIN) is None


async def test_missed_ticks_are_counted_over_all_schedules(connection: Connection) -> None:
    ledger, missed = TickLedger(connection), MissedTicks(connection)
    for number, name in enumerate(("full", "cycle", "incremental")):
        await ledger.note(TickRecord(schedule=name, due=BEGIN, noted_at=BEGIN, missed=number))

    async def counted(count: int) -> None:
        async def shown() -> bool:
            return missed.count == count

        await eventually(shown, within=5)

    async with alongside(missed.follow(), name="follow"):
        await counted(3)
        late = TickRecord(schedule="full", due=BEGIN + timedelta(days=1), noted_at=BEGIN, missed=4)
        await ledger.note(late)
        await ledger.finish(replace(late, done_at=BEGIN))
        await counted(7)


async def test_the_holder_of_the_training_lock_is_seen_and_its_absence_too(
    connection: Connection,
) -> None:
    lock = TrainingLock(connection)
    assert await lock.holder() is None
    holder = LockHolder(
        run_id="full-1", source=Source.API, mode=Mode.FULL, holder="a", started_at=BEGIN, token=1
    )
    await Bucket(connection, subjects.LOCKS).put(subjects.TRAINING_LOCK, codec.encode(holder))
    assert await lock.holder() == holder


async def test_a_trainer_sees_what_was_decided_once_it_is_stored(connection: Connection) -> None:
    planner = SchedulerPlanner(connection)
    with pytest.raises(Unavailable, match="universe"):
        await planner.universe()
    with pytest.raises(Unavailable, match="configuration"):
        await planner.configuration()
    configured = beginning(Configuration(train_epochs=300), BEGIN)
    await StoredRecord(connection, subjects.UNIVERSE, Universe).replace(UNIVERSE, 0)
    await StoredRecord(connection, subjects.CONFIGURATION, Configured).replace(configured, 0)
    assert await planner.universe() == UNIVERSE
    assert await planner.configuration() == Configuration(train_epochs=300)


async def test_a_plan_without_a_scheduler_is_unavailable(connection: Connection) -> None:
    with pytest.raises(Unavailable, match="scheduler"):
        await SchedulerPlanner(connection).plan(Mode.FULL, None)
