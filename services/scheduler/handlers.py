"""What the scheduler answers when it is asked."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol

from services.scheduler.domain.candidates import Knowledge, plan
from services.scheduler.domain.configuration import training_schedules
from services.scheduler.domain.decisions import Decisions
from services.scheduler.domain.standing import coverage, current_run, success_rate
from shared.contracts.errors import NotFound
from shared.contracts.records import (
    CandleSummary,
    CurrentRun,
    JobRecord,
    LockHolder,
    ModelRecord,
    RunRecord,
    TrainingStatus,
)
from shared.contracts.requests import (
    CandlesRequest,
    JobsRequest,
    PlannedJob,
    PlanRequest,
    RunsRequest,
    TrainingStatusRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Status
from shared.runtime.clock import Clock

#: How many of the newest jobs say how long one takes, before the first of a run has ended.
_MEASURED_BY: Final = 200


class Runs(Protocol):
    """The view of runs and jobs."""

    async def runs(self, question: RunsRequest) -> list[RunRecord]: ...

    async def jobs(self, question: JobsRequest) -> list[JobRecord]: ...

    async def jobs_of(self, run_id: str) -> list[JobRecord]: ...

    async def unfinished(self) -> list[RunRecord]: ...

    async def outcomes(self) -> dict[Status, int]: ...

    async def attempts(self) -> dict[Symbol, datetime]: ...


class Candles(Protocol):
    async def summaries(self) -> list[CandleSummary]: ...


class Progress(Protocol):
    def of(self, job: JobRecord) -> float:
        """How far a job is, in per cent."""


class Lock(Protocol):
    async def holder(self) -> LockHolder | None: ...


class Missed(Protocol):
    @property
    def count(self) -> int:
        """How many instants of the schedules nobody acted on lately."""


class Audience(Protocol):
    async def watched(self) -> Collection[Symbol]:
        """What clients listen to."""


class Answers:
    """The scheduler's endpoints."""

    def __init__(
        self,
        *,
        decisions: Decisions,
        models: Mapping[Symbol, ModelRecord],
        runs: Runs,
        candles: Candles,
        progress: Progress,
        lock: Lock,
        missed: Missed,
        audience: Audience,
        clock: Clock,
    ) -> None:
        self._decisions = decisions
        self._models = models
        self._runs = runs
        self._candles = candles
        self._progress = progress
        self._lock = lock
        self._missed = missed
        self._audience = audience
        self._clock = clock

    async def plan(self, question: PlanRequest) -> list[PlannedJob]:
        """Raises UnknownSymbol: a named symbol is not in the universe."""
        universe, watched = self._decisions.universe, frozenset[Symbol]()
        if question.mode is Mode.CYCLE and question.symbols is None:
            universe = replace(universe, symbols=self._decisions.automated)
            watched = frozenset(await self._audience.watched())
        known = Knowledge(
            universe=universe,
            models=self._models,
            attempts=await self._runs.attempts(),
            watched=watched,
        )
        return plan(question.mode, question.symbols, known, self._decisions.policy, self._clock())

    async def runs(self, question: RunsRequest) -> list[RunRecord]:
        """Raises NotFound: there is no run of that id."""
        runs = await self._runs.runs(question)
        if question.run_id is not None and not runs:
            raise NotFound(f"there is no run {question.run_id}")
        return runs

    async def jobs(self, question: JobsRequest) -> list[JobRecord]:
        jobs = await self._runs.jobs(question)
        return [replace(job, progress_pct=self._progress.of(job)) for job in jobs]

    async def candles(self, question: CandlesRequest) -> list[CandleSummary]:
        return await self._candles.summaries()

    async def status(self, question: TrainingStatusRequest) -> TrainingStatus:
        now = self._clock()
        latest = await self._runs.runs(RunsRequest(limit=20))
        lock = await self._lock.holder()
        current = _current(await self._runs.unfinished(), lock)
        configured, universe = self._decisions.configured, self._decisions.universe
        return TrainingStatus(
            enabled=configured.enabled,
            next_run_at=min(
                (schedule.next_after(now) for schedule in training_schedules(configured)),
                default=None,
            ),
            last_run=next((run for run in latest if run.status.final), None),
            current_run=await self._standing(current, now) if current else None,
            lock=lock,
            coverage=coverage(universe, self._models, self._decisions.policy.max_age, now),
            success_rate=success_rate(await self._runs.outcomes()),
            missed_ticks=self._missed.count,
        )

    async def _standing(self, run: RunRecord, now: datetime) -> CurrentRun:
        jobs = [
            replace(job, progress_pct=self._progress.of(job))
            for job in await self._runs.jobs_of(run.run_id)
        ]
        measured = JobsRequest(status=Status.SUCCEEDED, limit=_MEASURED_BY)
        return current_run(run, jobs, await self._runs.jobs(measured), now)


def _current(unfinished: list[RunRecord], lock: LockHolder | None) -> RunRecord | None:
    """The run that holds the lock, or else the oldest of those that wait to be continued."""
    running = [run for run in unfinished if run.status is Status.RUNNING]
    return max(
        running, key=lambda run: lock is not None and run.run_id == lock.run_id, default=None
    )
