"""The schedules without the training: what would run when, and how old models would get.

What is due, and when, is decided by the rules of the scheduler itself. Only the trainers are made
up: one run at a time, as the training lock has it, a batch of jobs at a time, each of them as long
as it is said to be.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heapify, heapreplace, merge

from services.scheduler.domain.cadence import Schedule
from services.scheduler.domain.candidates import Knowledge, Policy, plan
from shared.contracts.records import ModelRecord, Universe
from shared.contracts.requests import PlannedJob
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """The trainers of all machines together: so many jobs at once, in batches.

    `work` makes up the next job of a mode: how many seconds it takes, and whether it succeeds.
    """

    processes: int
    batch_size: int
    work: Callable[[Mode], tuple[float, bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRun:
    """A run that was due. Without jobs it was skipped: where `locked`, because another one held the
    lock, else because nothing was due.
    """

    mode: Mode
    due: datetime
    started_at: datetime
    ended_at: datetime
    jobs: int = 0
    failed: int = 0
    locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The registry at one moment. `ages` are in days, since the last training that was no update,
    youngest first.
    """

    at: datetime
    missing: int
    ages: tuple[float, ...]


@dataclass(slots=True, kw_only=True)
class Simulation:
    """What has happened so far. `oldest` is the greatest age that any model ever had, and
    `covered_at` when every symbol had one; `hasty` counts the jobs of cycles that came within the
    cooldown.
    """

    universe: Universe
    policy: Policy
    crew: Crew
    runs: list[SimulatedRun] = field(default_factory=list)
    oldest: timedelta = timedelta(0)
    covered_at: datetime | None = None
    hasty: int = 0
    _models: dict[Symbol, ModelRecord] = field(default_factory=dict)
    _attempts: dict[Symbol, datetime] = field(default_factory=dict)
    _waiting: deque[tuple[Mode, datetime]] = field(default_factory=deque)
    _ending: deque[tuple[datetime, PlannedJob, bool]] = field(default_factory=deque)
    _free_at: datetime | None = None

    def pass_time(
        self, schedules: Sequence[Schedule], since: datetime, until: datetime, every: timedelta
    ) -> Iterator[Sample]:
        """Live through this time under these schedules; a sample at its begin, and then again."""
        modes = [schedule for schedule in schedules if schedule.name in set(Mode)]
        asked = (_due(schedule, since, until) for schedule in modes)
        moments = ((since + every * n, None) for n in range((until - since) // every + 1))
        for at, mode in merge(*asked, moments, key=lambda event: event[0]):
            self._advance(at)
            if mode is None:
                yield self._sample(at)
            else:
                self._ask(mode, at)

    def _ask(self, mode: Mode, at: datetime) -> None:
        locked = self._free_at is not None and self._free_at > at
        if mode is Mode.CYCLE and locked:
            run = SimulatedRun(mode=mode, due=at, started_at=at, ended_at=at, locked=True)
            self.runs.append(run)
        else:
            self._waiting.append((mode, at))
            self._advance(at)

    def _advance(self, now: datetime) -> None:
        """End the jobs that have ended by now, and begin the runs that could begin."""
        while True:
            self._end_jobs(now)
            if not self._waiting or (self._free_at and self._free_at > now):
                return
            mode, due = self._waiting.popleft()
            self._run(mode, due, max(due, self._free_at or due))

    def _run(self, mode: Mode, due: datetime, at: datetime) -> None:
        known = Knowledge(universe=self.universe, models=self._models, attempts=self._attempts)
        jobs = plan(mode, None, known, self.policy, at)
        if mode is Mode.CYCLE:
            self.hasty += sum(self._was_tried_within_cooldown(job.symbol, at) for job in jobs)
        ends = sorted(self._train(jobs, at), key=lambda end: end[0])
        self._ending.extend(ends)
        self._free_at = ends[-1][0] if ends else at
        failed = sum(not succeeds for _, _, succeeds in ends)
        self.runs.append(
            SimulatedRun(
                mode=mode,
                due=due,
                started_at=at,
                ended_at=self._free_at,
                jobs=len(ends),
                failed=failed,
            )
        )

    def _train(
        self, jobs: Sequence[PlannedJob], at: datetime
    ) -> Iterator[tuple[datetime, PlannedJob, bool]]:
        """When each job ends: a batch begins when the one before has ended."""
        size = self.crew.batch_size
        for first in range(0, len(jobs), size):
            free = [at] * self.crew.processes
            heapify(free)
            for job in jobs[first : first + size]:
                seconds, succeeds = self.crew.work(job.mode)
                end = free[0] + timedelta(seconds=seconds)
                heapreplace(free, end)
                yield end, job, succeeds
            at = max(free)

    def _end_jobs(self, now: datetime) -> None:
        while self._ending and self._ending[0][0] <= now:
            at, job, succeeds = self._ending.popleft()
            if job.mode is Mode.INCREMENTAL:
                continue  # it makes no model younger, and is no attempt
            self._attempts[job.symbol] = at
            if succeeds:
                self._promote(job.symbol, at)

    def _promote(self, symbol: Symbol, at: datetime) -> None:
        before = self._models.get(symbol)
        if before is not None:
            self.oldest = max(self.oldest, at - before.trained_at)
        self._models[symbol] = _model(symbol, self.universe, at)
        if self.covered_at is None and len(self._models) == len(self.universe.symbols):
            self.covered_at = at

    def _was_tried_within_cooldown(self, symbol: Symbol, at: datetime) -> bool:
        tried_at = self._attempts.get(symbol)
        return tried_at is not None and at < tried_at + self.policy.cooldown

    def _sample(self, at: datetime) -> Sample:
        ages = sorted(at - model.trained_at for model in self._models.values())
        self.oldest = max([self.oldest, *ages[-1:]])
        return Sample(
            at=at,
            missing=len(self.universe.symbols) - len(ages),
            ages=tuple(age / timedelta(days=1) for age in ages),
        )


def _due(schedule: Schedule, since: datetime, until: datetime) -> Iterator[tuple[datetime, Mode]]:
    """The instants from `since` on, and before `until`."""
    at = schedule.next_after(since - timedelta(microseconds=1))
    while at < until:
        yield at, Mode(schedule.name)
        at = schedule.next_after(at)


def _model(symbol: Symbol, universe: Universe, at: datetime) -> ModelRecord:
    """What matters of a full model."""
    return ModelRecord(
        symbol=symbol,
        version="",
        sha256="",
        size=0,
        created_at=at,
        timeframe=universe.timeframe,
        horizons=universe.horizons,
        mode=Mode.FULL,
        run_id="",
        token=0,
        epoch="",
        candle_at=at,
        rows=0,
        scores=(),
        libraries={},
    )
