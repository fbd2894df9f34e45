from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.scheduler.domain.configuration import beginning
from services.scheduler.domain.decisions import Decisions
from services.scheduler.handlers import Answers
from shared.contracts.configuration import Configuration
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
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Status, Timeframe
from tests.support.coordination import BEGIN, job_record, model_record, run_record, symbols

CONFIGURATION = Configuration(ml_train_per_cycle=2, enabled=True)


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
        configuration: Configuration = CONFIGURATION,
        lock: LockHolder | None = None,
    ) -> None:
        self.models: dict[Symbol, ModelRecord] = {}
        self.lock = lock
        self.listened_to: tuple[Symbol, ...] = ()
        self.decisions = Decisions(
            universe=Universe(symbols=symbols(4), timeframe=Timeframe.D1, horizons=(1, 3)),
            configured=beginning(configuration, BEGIN),
        )
        self.answers = Answers(
            decisions=self.decisions,
            models=self.models,
            runs=Runs(runs or [], jobs or []),
            candles=self,
            progress=self,
            lock=self,
            missed=self,
            audience=self,
            clock=lambda: BEGIN,
        )

    async def summaries(self) -> list[CandleSummary]:
        return []

    def of(self, job: JobRecord) -> float:
        return 42.0

    async def holder(self) -> LockHolder | None:
        return self.lock

    @property
    def count(self) -> int:
        return 3

    async def watched(self) -> tuple[Symbol, ...]:
        return self.listened_to


async def test_a_plan_leaves_out_what_was_tried_lately() -> None:
    tried = job_record(symbols(1)[0], Status.FAILED, finished_at=BEGIN - timedelta(hours=1))
    jobs = await House(jobs=[tried]).answers.plan(PlanRequest(mode=Mode.CYCLE))
    assert [job.symbol for job in jobs] == list(symbols(3)[1:])


async def test_a_cycle_begins_with_what_clients_listen_to() -> None:
    house = House()
    *_, last = symbols(4)
    house.listened_to = (last,)
    jobs = await house.answers.plan(PlanRequest(mode=Mode.CYCLE))
    assert jobs[0].symbol == last


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
    nothing = Configuration(incremental_enabled=False, full_retrain_enabled=False)
    status = await House(configuration=nothing).answers.status(TrainingStatusRequest())
    assert not status.enabled
    assert (status.current_run, status.last_run, status.lock) == (None, None, None)
    assert (status.next_run_at, status.success_rate) == (None, None)
    assert status.missed_ticks == 3
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
    house = House(configuration=Configuration(incremental_schedule="30 12 * * *"))
    status = await house.answers.status(TrainingStatusRequest())
    assert status.next_run_at == BEGIN + timedelta(minutes=30)


async def test_a_change_of_the_configuration_shows_in_the_very_next_answer() -> None:
    house = House(configuration=Configuration())
    enabled = Configuration(enabled=True, cycle_minutes=10)
    house.decisions.configured = beginning(enabled, BEGIN)
    status = await house.answers.status(TrainingStatusRequest())
    assert (status.enabled, status.next_run_at) == (True, BEGIN + timedelta(minutes=10))


async def test_a_symbol_that_left_the_universe_is_planned_no_more() -> None:
    house = House()
    house.decisions.universe = replace(house.decisions.universe, symbols=symbols(1), revision=2)
    jobs = await house.answers.plan(PlanRequest(mode=Mode.FULL))
    assert [job.symbol for job in jobs] == list(symbols(1))


async def test_a_limited_cycle_takes_its_symbols_alone_and_other_runs_take_all() -> None:
    house = House(configuration=Configuration(symbols=symbols(1)))
    cycle = await house.answers.plan(PlanRequest(mode=Mode.CYCLE))
    assert [job.symbol for job in cycle] == list(symbols(1))
    assert len(await house.answers.plan(PlanRequest(mode=Mode.FULL))) == 4


async def test_a_symbol_that_is_named_is_trained_whatever_the_limit() -> None:
    house = House(configuration=Configuration(symbols=symbols(1)))
    (job,) = await house.answers.plan(PlanRequest(mode=Mode.CYCLE, symbols=symbols(2)[1:]))
    assert job.symbol == symbols(2)[1]
