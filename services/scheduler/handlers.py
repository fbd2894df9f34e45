"""What the scheduler does when a tick comes, and what it answers when it is asked."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from services.scheduler.domain.cadence import Schedule
from services.scheduler.domain.candidates import Knowledge, Policy, plan
from services.scheduler.domain.standing import coverage, current_run, success_rate
from shared.contracts import codec
from shared.contracts.errors import NotFound
from shared.contracts.records import (
    CandleSummary,
    JobRecord,
    LockHolder,
    ModelRecord,
    RunRecord,
    TrainingStatus,
    Universe,
)
from shared.contracts.requests import (
    CandlesRequest,
    JobsRequest,
    PlannedJob,
    PlanRequest,
    RunsRequest,
    TrainingStatusRequest,
    TrainRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Status
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)


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


class Requests(Protocol):
    async def request(self, mode: Mode, request: TrainRequest) -> None:
        """Queue a run; the same `request_id` is the same run. May raise Unavailable."""


class Progress(Protocol):
    def of(self, job: JobRecord) -> float:
        """How far a job is, in per cent."""


class Ledger(Protocol):
    async def note(self, tick: str, entry: bytes) -> None:
        """Keep what a tick led to; noting it again changes nothing. May raise Unavailable."""


class Lock(Protocol):
    async def holder(self) -> LockHolder | None: ...


class Ticks:
    """Ticks become training requests. A tick is named by its schedule and instant, and so is the
    run: whoever takes the same tick again asks for the same run, which trainers do once.
    """

    def __init__(self, requests: Requests, ledger: Ledger) -> None:
        self._requests = requests
        self._ledger = ledger

    async def on_tick(self, schedule: str, at: datetime) -> None:
        """Raises Unavailable: NATS did not answer; the tick is to be taken again."""
        mode = Mode(schedule)
        source = Source.AUTOMATION if mode is Mode.CYCLE else Source.CRONTAB
        request = TrainRequest(source=source, request_id=f"{mode}-{at:%Y%m%dT%H%M%SZ}")
        await self._ledger.note(f"{schedule}.{at:%Y-%m-%dT%H-%M-%SZ}", codec.encode(request))
        await self._requests.request(mode, request)
        log.info("tick", extra={"schedule": schedule, "run_id": request.request_id})


class Answers:
    """The scheduler's endpoints."""

    def __init__(
        self,
        *,
        universe: Universe,
        models: Mapping[Symbol, ModelRecord],
        runs: Runs,
        candles: Candles,
        progress: Progress,
        lock: Lock,
        policy: Policy,
        schedules: tuple[Schedule, ...],
        enabled: bool,
        clock: Clock,
    ) -> None:
        self._universe = universe
        self._models = models
        self._runs = runs
        self._candles = candles
        self._progress = progress
        self._lock = lock
        self._policy = policy
        self._schedules = schedules
        self._enabled = enabled
        self._clock = clock

    async def plan(self, question: PlanRequest) -> list[PlannedJob]:
        """Raises UnknownSymbol: a named symbol is not in the universe."""
        known = Knowledge(
            universe=self._universe, models=self._models, attempts=await self._runs.attempts()
        )
        return plan(question.mode, question.symbols, known, self._policy, self._clock())

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
        training = [schedule for schedule in self._schedules if schedule.name in set(Mode)]
        return TrainingStatus(
            enabled=self._enabled,
            next_run_at=min((s.next_after(now) for s in training), default=None),
            last_run=next((run for run in latest if run.status.final), None),
            current_run=current_run(current, await self._runs.jobs_of(current.run_id), now)
            if current
            else None,
            lock=lock,
            coverage=coverage(self._universe, self._models, self._policy.max_age, now),
            success_rate=success_rate(await self._runs.outcomes()),
        )


def _current(unfinished: list[RunRecord], lock: LockHolder | None) -> RunRecord | None:
    """The run that holds the lock, or else the oldest of those that wait to be continued."""
    running = [run for run in unfinished if run.status is Status.RUNNING]
    return max(
        running, key=lambda run: lock is not None and run.run_id == lock.run_id, default=None
    )
