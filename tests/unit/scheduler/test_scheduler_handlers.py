from collections import Counter
from datetime import datetime, timedelta

import pytest

from services.scheduler.domain.cadence import CANDLES, Schedule, every_minutes
from services.scheduler.domain.candidates import Policy
from services.scheduler.handlers import Answers, Ticks
from shared.contracts import codec
from shared.contracts.errors import NotFound, UnknownSymbol
from shared.contracts.records import (
    CandleSummary,
    JobRecord,
    LockHolder,
    ModelRecord,
    RunRecord,
    Universe,
)
from shared.contracts.requests import (
    CandlesRequest,
    JobsRequest,
    PlanRequest,
    RunsRequest,
    TrainingStatusRequest,
    TrainRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Status, Timeframe
from tests.support.coordination import BEGIN, job_record, model_record, run_record, symbols

AT = datetime.fromisoformat("2026-11-22T02:00:00.004Z")
POLICY = Policy(per_cycle=2, max_age=timedelta(days=7), cooldown=timedelta(hours=6))


class Requests(list[tuple[Mode, TrainRequest]]):
    async def request(self, mode: Mode, request: TrainRequest) -> None:
        self.append((mode, request))


class Ledger(dict[str, bytes]):
    async def note(self, tick: str, entry: bytes) -> None:
        self.setdefault(tick, entry)


class Runs:
    """Newest first, as the view answers."""

    def __init__(self, runs: list[RunRecord], jobs: list[JobRecord]) -> None:
        self.records = runs
        self.job_records = jobs

    async def runs(self, question: RunsRequest) -> list[RunRecord]:
        return [run for run in self.records if question.run_id in (None, run.run_id)]

    async def jobs(self, question: JobsRequest) -> list[JobRecord]:
        return self.job_records[: question.limit]

    async def jobs_of(self, run_id: str) -> list[JobRecord]:
        return [job for job in self.job_records if job.run_id == run_id]

    async def unfinished(self) -> list[RunRecord]:
        return [run for run in reversed(self.records) if not run.status.final]

    async def outcomes(self) -> dict[Status, int]:
        return Counter(job.status for job in self.job_records)

    async def attempts(self) -> dict[Symbol, datetime]:
        return {job.symbol: job.finished_at for job in self.job_records if job.finished_at}


class House:
    """The answers of a scheduler over a universe of four symbols."""

    def __init__(
        self,
        *,
        runs: list[RunRecord] | None = None,
        jobs: list[JobRecord] | None = None,
        schedules: tuple[Schedule, ...] = (),
        lock: LockHolder | None = None,
    ) -> None:
        self.models: dict[Symbol, ModelRecord] = {}
        self.lock = lock
        self.answers = Answers(
            universe=Universe(symbols=symbols(4), timeframe=Timeframe.D1, horizons=(1, 3)),
            models=self.models,
            runs=Runs(runs or [], jobs or []),
            candles=self,
            progress=self,
            lock=self,
            policy=POLICY,
            schedules=schedules,
            enabled=True,
            clock=lambda: BEGIN,
        )

    async def summaries(self) -> list[CandleSummary]:
        return []

    def of(self, job: JobRecord) -> float:
        return 42.0

    async def holder(self) -> LockHolder | None:
        return self.lock


@pytest.mark.parametrize("mode", Mode)
async def test_a_tick_becomes_a_request_named_by_its_schedule_and_instant(mode: Mode) -> None:
    requests, ledger = Requests(), Ledger()
    await Ticks(requests, ledger).on_tick(mode, AT)
    ((asked, request),) = requests
    assert (asked, request.request_id) == (mode, f"{mode}-20261122T020000Z")
    assert request.source is (Source.AUTOMATION if mode is Mode.CYCLE else Source.CRONTAB)
    assert ledger == {f"{mode}.2026-11-22T02-00-00Z": codec.encode(request)}


async def test_the_same_tick_taken_twice_asks_for_the_same_run() -> None:
    requests, ledger = Requests(), Ledger()
    ticks = Ticks(requests, ledger)
    await ticks.on_tick("full", AT)
    await ticks.on_tick("full", AT)
    assert requests[0] == requests[1]
    assert len(ledger) == 1


async def test_two_ticks_of_a_schedule_ask_for_two_runs() -> None:
    requests = Requests()
    ticks = Ticks(requests, Ledger())
    await ticks.on_tick("cycle", AT)
    await ticks.on_tick("cycle", AT + timedelta(seconds=3))
    assert requests[0][1].request_id != requests[1][1].request_id


async def test_a_ticks_request_can_be_read_by_a_trainer() -> None:
    requests = Requests()
    await Ticks(requests, Ledger()).on_tick("cycle", AT)
    request = requests[0][1]
    assert codec.decode(codec.encode(request), TrainRequest) == request


async def test_a_plan_leaves_out_what_was_tried_lately() -> None:
    tried = job_record(symbols(1)[0], Status.FAILED, finished_at=BEGIN - timedelta(hours=1))
    jobs = await House(jobs=[tried]).answers.plan(PlanRequest(mode=Mode.CYCLE))
    assert [job.symbol for job in jobs] == list(symbols(3)[1:])


async def test_a_plan_sees_the_models_of_this_moment() -> None:
    house = House()
    assert await house.answers.plan(PlanRequest(mode=Mode.INCREMENTAL)) == []
    house.models[symbols(1)[0]] = model_record(symbols(1)[0])
    assert len(await house.answers.plan(PlanRequest(mode=Mode.INCREMENTAL))) == 1


async def test_a_plan_refuses_a_symbol_outside_the_universe() -> None:
    with pytest.raises(UnknownSymbol):
        await House().answers.plan(PlanRequest(mode=Mode.FULL, symbols=(Symbol("DOGE"),)))


async def test_a_run_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(NotFound, match="full-9"):
        await House().answers.runs(RunsRequest(run_id="full-9"))
    assert await House().answers.runs(RunsRequest()) == []


async def test_jobs_show_how_far_they_are() -> None:
    house = House(jobs=[job_record(symbols(1)[0], Status.RUNNING)])
    (job,) = await house.answers.jobs(JobsRequest())
    assert job.progress_pct == 42


async def test_candles_are_those_of_the_store() -> None:
    assert await House().answers.candles(CandlesRequest()) == []


def running(run_id: str) -> RunRecord:
    return RunRecord(
        run_id=run_id,
        mode=Mode.FULL,
        source=Source.MANUAL,
        status=Status.RUNNING,
        symbols=symbols(2),
        batch_size=25,
        requested_at=BEGIN,
        started_at=BEGIN,
    )


def holder(run_id: str) -> LockHolder:
    return LockHolder(
        run_id=run_id, source=Source.MANUAL, mode=Mode.FULL, holder="trainer-a", started_at=BEGIN
    )


async def test_the_status_of_an_idle_system() -> None:
    status = await House().answers.status(TrainingStatusRequest())
    assert status.enabled
    assert (status.current_run, status.last_run, status.lock) == (None, None, None)
    assert (status.next_run_at, status.success_rate) == (None, None)
    assert status.coverage.missing == 4


async def test_the_current_run_is_the_one_that_holds_the_lock() -> None:
    house = House(runs=[running("full-2"), running("full-1")], lock=holder("full-2"))
    status = await house.answers.status(TrainingStatusRequest())
    assert status.current_run is not None
    assert status.current_run.run_id == "full-2"


async def test_a_run_whose_coordinator_died_is_still_the_current_one() -> None:
    status = await House(runs=[running("full-1")]).answers.status(TrainingStatusRequest())
    assert status.current_run is not None
    assert status.current_run.run_id == "full-1"


async def test_a_run_that_waits_its_turn_is_not_the_current_one() -> None:
    status = await House(runs=[run_record()]).answers.status(TrainingStatusRequest())
    assert status.current_run is None


async def test_the_next_run_is_that_of_the_first_training_schedule_to_be_due() -> None:
    schedules = (
        every_minutes(CANDLES, 1),
        every_minutes(Mode.CYCLE, 15),
        Schedule(name=Mode.FULL, cron="0 2 * * 0"),
    )
    status = await House(schedules=schedules).answers.status(TrainingStatusRequest())
    assert status.next_run_at == BEGIN + timedelta(minutes=15)
