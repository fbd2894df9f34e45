import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from services.trainer.domain.plans import plan
from services.trainer.foreman import Foreman
from services.trainer.run import Coordinator
from shared.contracts import codec
from shared.contracts.configuration import Configuration
from shared.contracts.errors import (
    LeaseLost,
    LeaseTaken,
    MalformedMessage,
    Unavailable,
    UnknownSymbol,
)
from shared.contracts.events import Event, RunCompleted, RunFailed, RunProgressed, RunSkipped
from shared.contracts.records import LockHolder, Problem, RunRecord
from shared.contracts.requests import JobOrder, PlannedJob, TrainRequest
from shared.contracts.subjects import TRAINING_LOCK
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Status
from shared.runtime.lease import LeasePolicy
from shared.runtime.tasks import cancelled
from tests.support.coordination import (
    BEGIN,
    CONFIGURATION,
    Crew,
    FixedPlanner,
    MemoryRegistry,
    MemoryRunBook,
    RecordingOutlet,
    Story,
    job_record,
    loop_clock,
    run_record,
    symbols,
)
from tests.support.stores import MemoryLeaseStore

#: Longer than any run here, so that one that hangs fails its test.
PATIENCE_S = 3600


class House:
    """Everything around a coordinator, and as many coordinators as a test wants."""

    def __init__(self, count: int, *, seconds: float = 10.0) -> None:
        self.story = Story()
        self.leases = MemoryLeaseStore()
        self.book = MemoryRunBook(self.leases, self.story)
        self.planner = FixedPlanner(symbols(count))
        self.outlet = RecordingOutlet(self.story)
        self.registry = MemoryRegistry()
        self.crew = Crew(self.book, seconds=seconds)
        self.outlet.on_order = self.crew.take

    async def take(
        self,
        mode: Mode = Mode.FULL,
        request: TrainRequest | bytes = b"",
        *,
        place: str = "1",
        name: str = "trainer-a",
    ) -> None:
        coordinator = Coordinator(
            name=name,
            book=self.book,
            foreman=Foreman(
                book=self.book, planner=self.planner, outlet=self.outlet, clock=loop_clock
            ),
            planner=self.planner,
            outlet=self.outlet,
            registry=self.registry,
            leases=self.leases,
            policy=LeasePolicy(),
            clock=loop_clock,
        )
        data = request if isinstance(request, bytes) else codec.encode(request)
        async with asyncio.timeout(PATIENCE_S):
            await coordinator.on_request(mode, data, place, BEGIN)

    @asynccontextmanager
    async def another_run(self) -> AsyncIterator[None]:
        """While the body runs, somebody else trains."""
        value = codec.encode(holder("full-other"))
        revision = await self.leases.create(TRAINING_LOCK, value, ttl=PATIENCE_S)
        yield
        await self.leases.delete(TRAINING_LOCK, value, revision)

    async def begun_and_died_after(self, seconds: float, mode: Mode = Mode.FULL) -> None:
        """A coordinator takes the request of `place` 1 and is killed: its lock stays behind."""
        task = asyncio.create_task(self.take(mode))
        await asyncio.sleep(seconds)
        self.leases.partitioned = True
        await cancelled(task)
        self.leases.partitioned = False

    def events(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.outlet.events if isinstance(event, kind)]

    @property
    def only_run(self) -> RunRecord:
        (run,) = self.book.runs.values()
        return run


def holder(run_id: str) -> LockHolder:
    return LockHolder(
        run_id=run_id, source=Source.MANUAL, mode=Mode.FULL, holder="trainer-b", started_at=BEGIN
    )


async def test_a_request_becomes_a_run_over_what_is_due() -> None:
    house = House(3)
    await house.take()
    run = house.only_run
    assert run.symbols == symbols(3)
    assert (run.status, run.done, run.failed, run.skipped) == (Status.SUCCEEDED, 3, 0, 0)
    assert house.outlet.types == [
        "run.requested",
        "run.started",
        "run.progressed",
        "run.progressed",
        "run.progressed",
        "run.completed",
    ]


async def test_the_lock_says_who_trains_what_since_when() -> None:
    house = House(1)
    task = asyncio.create_task(house.take(Mode.QUICK, TrainRequest(source=Source.API)))
    await asyncio.sleep(5)
    lock = await house.book.lock_holder()
    assert lock == LockHolder(
        run_id="quick-1",
        source=Source.API,
        mode=Mode.QUICK,
        holder="trainer-a",
        started_at=BEGIN,
        token=1,
    )
    await task
    assert await house.book.lock_holder() is None


async def test_the_lock_counts_from_when_it_was_taken_not_from_the_request() -> None:
    house = House(1)
    async with asyncio.TaskGroup() as group:
        async with house.another_run():
            group.create_task(house.take())
            await asyncio.sleep(600)
        await asyncio.sleep(5)
        lock = await house.book.lock_holder()
    assert lock is not None
    assert (lock.started_at - BEGIN).total_seconds() == pytest.approx(600, abs=2)


async def test_a_cycle_that_finds_the_lock_held_is_skipped_and_names_the_holder() -> None:
    house = House(1)
    async with house.another_run():
        await house.take(Mode.CYCLE)
    (skipped,) = house.events(RunSkipped)
    assert isinstance(skipped, RunSkipped)
    assert skipped.lock == holder("full-other")
    assert house.only_run.status is Status.SKIPPED
    assert house.only_run.error is not None
    assert house.only_run.error.code == "training_locked"
    assert not house.crew.ordered


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.QUICK, Mode.INCREMENTAL])
async def test_every_other_run_waits_its_turn(mode: Mode) -> None:
    house = House(1)
    async with asyncio.TaskGroup() as group, house.another_run():
        group.create_task(house.take(mode))
        await asyncio.sleep(600)
        assert house.outlet.types == ["run.requested"]
    assert house.only_run.status is Status.SUCCEEDED


async def test_a_run_for_which_nothing_is_due_is_skipped() -> None:
    house = House(0)
    await house.take()
    assert house.outlet.types == ["run.requested", "run.skipped"]
    assert house.only_run.error is not None
    assert house.only_run.error.code == "nothing_due"


async def test_the_next_batch_goes_out_when_the_batch_before_has_ended() -> None:
    house = House(5)
    await house.take(request=TrainRequest(batch_size=2))
    crew, run = house.crew, house.only_run
    batches = [run.symbols[0:2], run.symbols[2:4], run.symbols[4:5]]
    for before, after in pairwise(batches):
        assert max(crew.ended[s] for s in before) <= min(crew.ordered[s] for s in after)
    assert [e.batch for e in house.outlet.events if isinstance(e, RunProgressed)] == [1, 1, 2, 2, 3]


async def test_a_job_is_ordered_with_the_plan_of_its_mode_and_the_universe() -> None:
    house = House(1)
    await house.take()
    (order,) = house.outlet.orders
    assert order.plan == plan(CONFIGURATION, Mode.FULL)
    assert order.horizons == (1, 3)
    assert order.run_id == house.only_run.run_id


async def test_a_run_follows_the_configuration_of_its_moment() -> None:
    house = House(1)
    await house.take(place="1")
    house.planner.configured = Configuration(train_epochs=300, train_batch_size=7)
    await house.take(place="2")
    first, second = house.outlet.orders
    assert (first.plan.rounds, second.plan.rounds) == (200, 300)
    assert [run.batch_size for run in house.book.runs.values()] == [25, 7]


async def test_a_symbol_that_left_the_universe_is_left_out_of_the_runs_that_wait() -> None:
    house = House(3)
    first, gone, last = symbols(3)

    def remove_one(order: JobOrder) -> None:
        house.planner.due = (first, last)
        house.crew.take(order)

    house.outlet.on_order = remove_one
    await house.take(request=TrainRequest(batch_size=1))
    assert [order.symbol for order in house.outlet.orders] == [first, last]
    (left_out,) = [job for job in house.book.records.values() if job.symbol == gone]
    assert left_out.status is Status.SKIPPED
    assert left_out.error is not None
    assert left_out.error.code == "unknown_symbol"
    run = house.only_run
    assert (run.status, run.done, run.skipped) == (Status.SUCCEEDED, 2, 1)
    assert run.check is not None
    assert gone not in run.check.missing


async def test_a_symbol_that_leaves_before_the_run_begins_does_not_fail_it() -> None:
    house = House(2)
    stays, gone = symbols(2)
    await house.take(request=TrainRequest(request_id="other"))
    house.book.records.clear()
    house.book.runs["other"] = replace(house.only_run, status=Status.QUEUED, finished_at=None)
    house.planner.due = (stays,)
    await house.take(request=TrainRequest(request_id="other"))
    assert house.only_run.status is Status.SUCCEEDED
    assert house.book.records["other", gone].status is Status.SKIPPED


async def test_a_request_that_comes_again_after_its_run_does_nothing() -> None:
    house = House(2)
    await house.take()
    before = list(house.story)
    await house.take()
    assert house.story == before
    assert len(house.planner.asked) == 2  # what is due, and how much of it


async def test_the_same_request_id_is_the_same_run_wherever_it_lies() -> None:
    house = House(1)
    request = TrainRequest(request_id="tick-1")
    await house.take(request=request, place="1")
    await house.take(request=request, place="2")
    assert house.only_run.run_id == "tick-1"
    assert len(house.crew.ordered) == 1


async def test_without_a_request_id_the_run_is_named_by_its_mode_and_place() -> None:
    house = House(1)
    await house.take(Mode.QUICK, place="20261120T120000-7")
    assert house.only_run.run_id == "quick-20261120T120000-7"


async def test_a_run_whose_coordinator_died_is_continued_by_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    house = House(4)
    request = TrainRequest(batch_size=1)
    task = asyncio.create_task(house.take(request=request))
    await asyncio.sleep(25)
    await cancelled(task)
    ordered_before = set(house.crew.ordered)
    assert house.only_run.status is Status.RUNNING
    assert len(ordered_before) == 3

    house.crew.ordered.clear()
    await house.take(request=request, name="trainer-b")
    run = house.only_run
    assert set(house.crew.ordered) == set(run.symbols[2:])
    assert (run.status, run.done) == (Status.SUCCEEDED, 4)
    assert run.started_at == BEGIN
    assert len(house.events(RunCompleted)) == 1
    assert caplog.messages[:3] == ["run started", "run continued", "run finished"]


async def test_the_lock_of_a_dead_coordinator_is_waited_for_even_by_a_cycle() -> None:
    house = House(3)
    await house.begun_and_died_after(5, Mode.CYCLE)
    await house.take(Mode.CYCLE, name="trainer-b")
    assert house.only_run.status is Status.SUCCEEDED
    assert not house.events(RunSkipped)


async def test_a_cycle_that_has_begun_waits_for_a_run_that_came_between() -> None:
    house = House(1)
    house.book.runs["cycle-1"] = replace(
        run_record(run_id="cycle-1", mode=Mode.CYCLE), status=Status.RUNNING, started_at=BEGIN
    )
    async with asyncio.TaskGroup() as group, house.another_run():
        group.create_task(house.take(Mode.CYCLE))
        await asyncio.sleep(60)
    assert house.only_run.status is Status.SUCCEEDED


async def test_a_cycle_is_not_skipped_for_its_own_coordinators_lock() -> None:
    house = House(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(house.take(Mode.CYCLE))
        await asyncio.sleep(5)
        queued = replace(house.only_run, status=Status.QUEUED, started_at=None)
        house.book.runs["cycle-1"] = queued  # as it was read a moment before the run began
        with pytest.raises(LeaseTaken):
            await house.take(Mode.CYCLE, name="trainer-b")
    assert house.only_run.status is Status.SUCCEEDED


async def test_a_run_that_ended_while_the_lock_was_waited_for_is_not_begun_again() -> None:
    house = House(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(house.take())
        await asyncio.sleep(5)
        group.create_task(house.take(name="trainer-b"))
    assert house.outlet.types.count("run.started") == 1
    assert house.book.written.count(("full-1", Status.SUCCEEDED)) == 1


async def test_jobs_that_are_not_in_the_book_are_planned_again() -> None:
    house = House(3)
    known, *missing = symbols(3)
    house.book.runs["full-1"] = replace(run_record(count=3), status=Status.RUNNING)
    house.book.records["full-1", known] = job_record(known, Status.SUCCEEDED)
    await house.take()
    assert house.planner.asked == [tuple(missing)]
    assert set(house.crew.ordered) == set(missing)


async def test_a_failed_job_fails_its_run_but_no_other_job() -> None:
    house = House(3)
    house.crew.failing.add(symbols(3)[0])
    await house.take()
    run = house.only_run
    assert (run.status, run.done, run.failed) == (Status.FAILED, 2, 1)
    (completed,) = house.events(RunCompleted)
    assert isinstance(completed, RunCompleted)
    assert (completed.done, completed.failed, completed.duration_s) == (2, 1, 10)


async def test_the_end_of_a_run_is_told_before_it_is_written() -> None:
    house = House(1)
    await house.take()
    assert house.story[-2:] == ["emit run.completed", "keep run succeeded"]


async def test_the_record_of_a_run_says_what_the_registry_really_has() -> None:
    house = House(2)
    await house.take()
    assert house.only_run.check is not None
    assert house.only_run.check.missing == symbols(2)


class LostPlanner(FixedPlanner):
    """Of what is in its universe it has never heard."""

    async def plan(self, mode: Mode, symbols: Sequence[Symbol] | None) -> list[PlannedJob]:
        raise UnknownSymbol("not in the universe: S0")


async def test_a_run_that_cannot_go_on_fails_with_its_reason() -> None:
    house = House(1)
    house.planner = LostPlanner(symbols(1))
    house.book.runs["full-1"] = run_record()
    await house.take()
    (failed,) = house.events(RunFailed)
    assert isinstance(failed, RunFailed)
    assert failed.error.code == "unknown_symbol"
    assert (house.only_run.status, house.only_run.error) == (Status.FAILED, failed.error)
    assert await house.book.lock_holder() is None


async def test_a_request_for_an_unknown_symbol_never_becomes_a_run() -> None:
    house = House(1)
    with pytest.raises(UnknownSymbol):
        await house.take(request=TrainRequest(symbols=(Symbol("GONE"),)))
    assert not house.book.runs


async def test_a_request_for_named_symbols_takes_these() -> None:
    house = House(3)
    await house.take(request=TrainRequest(symbols=symbols(1)))
    assert house.only_run.symbols == symbols(1)


async def test_bytes_that_are_no_request_are_refused() -> None:
    house = House(1)
    with pytest.raises(MalformedMessage):
        await house.take(request=b"{")


async def test_a_request_waits_for_a_scheduler_that_is_away() -> None:
    house = House(1)
    house.planner.answers = False
    with pytest.raises(Unavailable):
        await house.take()
    assert not house.book.runs
    house.planner.answers = True
    await house.take()
    assert house.only_run.status is Status.SUCCEEDED


async def test_a_coordinator_that_loses_the_lock_stops_and_another_continues() -> None:
    house = House(2, seconds=40)
    task = asyncio.create_task(house.take())
    await asyncio.sleep(5)
    house.leases.partitioned = True
    with pytest.raises(LeaseLost):
        await task
    house.leases.partitioned = False
    assert house.only_run.status is Status.RUNNING
    await house.take(name="trainer-b")
    assert (house.only_run.status, house.only_run.done) == (Status.SUCCEEDED, 2)


async def test_a_cancelled_run_hands_out_no_more_and_ends_what_nobody_has_begun() -> None:
    house = House(4)
    async with asyncio.TaskGroup() as group:
        group.create_task(house.take(request=TrainRequest(batch_size=2)))
        await asyncio.sleep(15)
        house.book.cancel("full-1")
    run, ended = house.only_run, house.book.records
    assert (run.status, run.done, run.skipped) == (Status.CANCELLED, 2, 2)
    assert [ended["full-1", symbol].status for symbol in run.symbols] == [
        Status.SUCCEEDED,
        Status.SUCCEEDED,
        Status.CANCELLED,
        Status.CANCELLED,
    ]
    assert [line for line in house.story if line.startswith("take back")] == [
        "take back S2",
        "take back S3",
    ]


async def test_the_end_of_a_cancelled_run_is_told_as_a_failure_with_its_reason() -> None:
    house = House(2)
    async with asyncio.TaskGroup() as group:
        group.create_task(house.take())
        await asyncio.sleep(5)
        house.book.cancel("full-1")
    assert house.outlet.types == [
        "run.requested",
        "run.started",
        "job.skipped",
        "job.skipped",
        "run.failed",
    ]
    failed = house.outlet.events[-1]
    assert isinstance(failed, RunFailed)
    assert failed.error.code == "cancelled"
    assert house.only_run.error == failed.error


async def test_a_cancelled_run_waits_for_the_workers_to_end_their_jobs() -> None:
    house = House(1, seconds=PATIENCE_S)
    async with asyncio.TaskGroup() as group:
        group.create_task(house.take())
        await asyncio.sleep(5)
        running = replace(house.book.records["full-1", symbols(1)[0]], status=Status.RUNNING)
        house.book.note(running)
        house.book.cancel("full-1")
        await asyncio.sleep(3)
        assert house.only_run.status is Status.RUNNING
        house.book.note(replace(running, status=Status.SUCCEEDED))
    assert (house.only_run.status, house.only_run.done) == (Status.CANCELLED, 1)


async def test_a_cancelled_run_is_no_success_where_the_workers_hear_of_it_first() -> None:
    house = House(2, seconds=PATIENCE_S)
    async with asyncio.TaskGroup() as group:
        group.create_task(house.take())
        await asyncio.sleep(5.5)  # between two looks of the coordinator
        house.book.cancel("full-1")
        for job in list(house.book.records.values()):
            house.book.note(replace(job, status=Status.CANCELLED))
    assert (house.only_run.status, house.only_run.skipped) == (Status.CANCELLED, 2)


async def test_a_worker_that_is_lost_does_not_keep_a_cancelled_run_from_ending() -> None:
    house = House(1, seconds=PATIENCE_S)
    async with asyncio.TaskGroup() as group:
        group.create_task(house.take())
        await asyncio.sleep(5)
        (job,) = house.book.records.values()
        house.book.note(replace(job, status=Status.RUNNING))
        house.book.cancel("full-1")
    assert house.only_run.status is Status.CANCELLED
    assert [job.status for job in house.book.records.values()] == [Status.CANCELLED]
    assert loop_clock() - BEGIN < timedelta(seconds=30)


async def test_a_run_that_waits_for_the_lock_is_cancelled_at_once() -> None:
    house = House(1)
    async with asyncio.TaskGroup() as group, house.another_run():
        task = group.create_task(house.take())
        await asyncio.sleep(60)
        house.book.cancel("full-1")
        await asyncio.sleep(2)
        assert task.done()
    assert house.only_run.status is Status.CANCELLED
    assert not house.book.records


async def test_a_run_that_is_cancelled_before_it_is_opened_never_begins() -> None:
    house = House(1)
    house.book.runs["full-1"] = replace(run_record(count=0), cancel_requested_at=BEGIN)
    await house.take()
    assert house.only_run.status is Status.CANCELLED
    assert house.outlet.types == ["run.failed"]
    assert not house.planner.asked


async def test_a_cancelled_run_whose_coordinator_died_is_ended_by_another() -> None:
    house = House(2)
    await house.begun_and_died_after(5)
    house.book.cancel("full-1")
    await house.take(name="trainer-b")
    assert house.only_run.status is Status.CANCELLED
    assert {job.status for job in house.book.records.values()} == {Status.CANCELLED}


async def test_the_next_run_begins_right_after_a_cancelled_one() -> None:
    house = House(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(house.take())
        await asyncio.sleep(5)
        house.book.cancel("full-1")
        await house.take(place="2", name="trainer-b")
    assert house.book.runs["full-1"].status is Status.CANCELLED
    assert house.book.runs["full-2"].status is Status.SUCCEEDED


async def test_a_job_that_nobody_has_taken_for_long_is_ordered_again() -> None:
    house = House(1)
    house.outlet.on_order = lambda order: None
    async with asyncio.TaskGroup() as group:
        group.create_task(house.take())
        await asyncio.sleep(60)
        house.outlet.on_order = house.crew.take
    assert len(house.outlet.orders) == 2
    assert house.only_run.status is Status.SUCCEEDED


async def test_a_request_that_waited_behind_its_like_is_recognised_as_the_same() -> None:
    house = House(2)
    like = run_record(run_id="full-0", count=2)
    house.planner.runs = [
        replace(like, status=Status.SUCCEEDED, started_at=BEGIN + timedelta(seconds=1))
    ]
    await house.take()
    (skipped,) = house.events(RunSkipped)
    assert isinstance(skipped, RunSkipped)
    assert "run full-0 does the same" in skipped.reason
    assert (house.only_run.status, house.only_run.error) == (
        Status.SKIPPED,
        Problem(code="same_run", message=skipped.reason),
    )
    assert not house.crew.ordered


async def test_a_run_that_has_begun_is_continued_even_if_another_did_the_same() -> None:
    house = House(1)
    begun = replace(run_record(), status=Status.RUNNING, started_at=BEGIN)
    house.book.runs["full-1"] = begun
    house.planner.runs = [begun, replace(begun, run_id="full-2")]
    await house.take()
    assert house.only_run.status is Status.SUCCEEDED
