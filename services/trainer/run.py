"""A request becomes a run: hold the training lock, hand out jobs, see every one of them end."""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from services.trainer.domain.board import Board, Tally
from services.trainer.settings import Settings
from shared.contracts import codec
from shared.contracts.errors import LeaseTaken, Permanent
from shared.contracts.events import (
    Event,
    RunCompleted,
    RunFailed,
    RunRequested,
    RunSkipped,
    RunStarted,
)
from shared.contracts.records import (
    JobRecord,
    LockHolder,
    PostTrainCheck,
    Problem,
    RunRecord,
    Universe,
)
from shared.contracts.requests import JobOrder, PlannedJob, TrainRequest
from shared.contracts.subjects import TRAINING_LOCK
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Status
from shared.runtime.clock import Clock
from shared.runtime.lease import LeasePolicy, LeaseStore, hold

log = logging.getLogger(__name__)


class RunBook(Protocol):
    """The stored runs and jobs. Every verb may raise Unavailable."""

    async def run(self, run_id: str) -> RunRecord | None: ...

    async def keep_run(self, run: RunRecord) -> None: ...

    async def jobs(self, run_id: str) -> list[JobRecord]: ...

    async def keep_job(self, job: JobRecord) -> None: ...

    def job_changes(self, run_id: str) -> AsyncGenerator[JobRecord]:
        """The jobs of a run as they are, then as they change; old states may come again."""

    async def lock_holder(self) -> LockHolder | None: ...


class Planner(Protocol):
    """The scheduler, which knows what is due. Both may raise Unavailable."""

    async def plan(self, mode: Mode, symbols: Sequence[Symbol] | None) -> list[PlannedJob]: ...

    async def universe(self) -> Universe: ...


class Outlet(Protocol):
    """Where events and job orders go. Both may raise Unavailable."""

    async def emit(self, fact: Event) -> None: ...

    async def order(self, order: JobOrder) -> None:
        """Queue a job, waiting while another one for its symbol is in the queue."""


class Registry(Protocol):
    async def check(self, symbols: Sequence[Symbol], universe: Universe) -> PostTrainCheck:
        """What the registry really holds for these symbols; may raise Unavailable."""


class Coordinator:
    """Conducts runs, one at a time over all trainers: the training lock decides whose.

    Everything it needs to continue is in the run book, so a run that loses its coordinator is
    redelivered to another one, which hands out what is left.
    """

    def __init__(
        self,
        *,
        name: str,
        settings: Settings,
        book: RunBook,
        planner: Planner,
        outlet: Outlet,
        registry: Registry,
        leases: LeaseStore,
        policy: LeasePolicy,
        clock: Clock,
    ) -> None:
        self._name = name
        self._settings = settings
        self._book = book
        self._planner = planner
        self._outlet = outlet
        self._registry = registry
        self._leases = leases
        self._policy = policy
        self._clock = clock

    async def on_request(self, mode: Mode, data: bytes, place: str, asked_at: datetime) -> None:
        """Take one request from `evertrain.train.<mode>` to the end of its run.

        `place` names the message's place in its stream, the same at each delivery.

        Raises:
            MalformedMessage, InvalidSymbol, UnknownSymbol: the request can never be handled.
            LeaseTaken: another coordinator has this very run; look again whether it ended it.
            LeaseLost: the training lock could not be kept; the run is to be continued.
            Unavailable: NATS or the scheduler does not answer; the run is to be continued.
        """
        request = codec.decode(data, TrainRequest)
        run = await self._open(request.request_id or f"{mode}-{place}", mode, request, asked_at)
        if run.status.final:
            return
        if not run.symbols:
            await self._skip(run, "nothing is due", None)
            return
        try:
            async with hold(
                self._leases,
                TRAINING_LOCK,
                lambda token: codec.encode(self._holder(run, token)),
                policy=self._policy,
                poll_every=None if _may_be_skipped(run) else 1.0,
            ):
                await self._see_through(run)
        except LeaseTaken:
            lock = await self._book.lock_holder()
            if lock is None or lock.run_id == run.run_id:
                raise
            await self._skip(run, "another run is training", lock)

    async def _open(
        self, run_id: str, mode: Mode, request: TrainRequest, asked_at: datetime
    ) -> RunRecord:
        """The run of this request: the one in the book, or a new one over what is due now."""
        if (known := await self._book.run(run_id)) is not None:
            return known
        planned = await self._planner.plan(mode, request.symbols)
        run = RunRecord(
            run_id=run_id,
            mode=mode,
            source=request.source,
            status=Status.QUEUED,
            symbols=tuple(job.symbol for job in planned),
            batch_size=request.batch_size or self._settings.batch_size,
            requested_at=asked_at,
        )
        await self._book.keep_run(run)
        await self._outlet.emit(
            RunRequested(
                id=f"run.requested:{run_id}",
                at=self._clock(),
                run_id=run_id,
                mode=mode,
                source=run.source,
                total=run.total,
            )
        )
        return run

    async def _skip(self, run: RunRecord, reason: str, lock: LockHolder | None) -> None:
        now = self._clock()
        log.info("run skipped", extra={"run_id": run.run_id, "reason": reason})
        await self._outlet.emit(
            RunSkipped(
                id=f"run.skipped:{run.run_id}",
                at=now,
                run_id=run.run_id,
                mode=run.mode,
                source=run.source,
                reason=reason,
                lock=lock,
            )
        )
        problem = Problem(code="training_locked" if lock else "nothing_due", message=reason)
        await self._book.keep_run(
            replace(run, status=Status.SKIPPED, finished_at=now, error=problem)
        )

    async def _see_through(self, run: RunRecord) -> None:
        """Conduct the run under the lock, unless it has ended while the lock was waited for."""
        run = await self._book.run(run.run_id) or run
        if run.status.final:
            return
        run = await self._started(run)
        try:
            await self._conduct(run)
        except Permanent as exc:
            await self._failed(run, exc)

    async def _conduct(self, run: RunRecord) -> None:
        """Hand out the jobs and see every one of them end."""
        universe = await self._planner.universe()
        board = Board(run, await self._jobs(run), self._clock())
        async with aclosing(self._book.job_changes(run.run_id)) as changes:
            for batch in board.batches:
                await self._hand_out(run, board, batch, universe)
                while not board.ended(batch):
                    if board.take(await anext(changes)):
                        await self._outlet.emit(board.progress(batch, self._clock()))
        check = await self._registry.check(run.symbols, universe)
        await self._finished(run, board.count, check)

    async def _jobs(self, run: RunRecord) -> list[JobRecord]:
        """The jobs of the run; those that are not in the book yet are put there."""
        jobs = await self._book.jobs(run.run_id)
        missing = [s for s in run.symbols if s not in {job.symbol for job in jobs}]
        planned = await self._planner.plan(run.mode, missing) if missing else []
        for job in (_queued(run, planned_job) for planned_job in planned):
            await self._book.keep_job(job)
            jobs.append(job)
        return jobs

    async def _hand_out(
        self, run: RunRecord, board: Board, batch: Sequence[Symbol], universe: Universe
    ) -> None:
        for symbol in batch:
            if not board.jobs[symbol].status.final:
                await self._outlet.order(self._order(run, board.jobs[symbol], universe))

    async def _started(self, run: RunRecord) -> RunRecord:
        """Mark the run as running; one that is continued keeps the time at which it began."""
        now = self._clock()
        run = replace(run, status=Status.RUNNING, started_at=run.started_at or now)
        await self._book.keep_run(run)
        log.info("run started", extra={"run_id": run.run_id, "jobs": run.total})
        await self._outlet.emit(
            RunStarted(
                id=f"run.started:{run.run_id}:{now.timestamp()}",
                at=now,
                run_id=run.run_id,
                mode=run.mode,
                source=run.source,
                total=run.total,
                batches=-(-run.total // run.batch_size),
                holder=self._name,
            )
        )
        return run

    async def _finished(self, run: RunRecord, count: Tally, check: PostTrainCheck) -> None:
        now = self._clock()
        await self._outlet.emit(
            RunCompleted(
                id=f"run.completed:{run.run_id}",
                at=now,
                run_id=run.run_id,
                mode=run.mode,
                source=run.source,
                total=count.total,
                done=count.done,
                failed=count.failed,
                skipped=count.skipped,
                duration_s=round((now - (run.started_at or now)).total_seconds(), 3),
            )
        )
        await self._book.keep_run(
            replace(
                run,
                status=Status.FAILED if count.failed else Status.SUCCEEDED,
                finished_at=now,
                done=count.done,
                failed=count.failed,
                skipped=count.skipped,
                check=check,
            )
        )
        log.info(
            "run finished",
            extra={"run_id": run.run_id, "done": count.done, "failed": count.failed},
        )

    async def _failed(self, run: RunRecord, reason: Permanent) -> None:
        problem, now = Problem(code=reason.code, message=str(reason)), self._clock()
        log.error("run failed", extra={"run_id": run.run_id, "reason": problem.message})
        await self._outlet.emit(
            RunFailed(
                id=f"run.failed:{run.run_id}",
                at=now,
                run_id=run.run_id,
                mode=run.mode,
                source=run.source,
                error=problem,
            )
        )
        await self._book.keep_run(
            replace(run, status=Status.FAILED, finished_at=now, error=problem)
        )

    def _holder(self, run: RunRecord, token: int) -> LockHolder:
        return LockHolder(
            run_id=run.run_id,
            source=run.source,
            mode=run.mode,
            holder=self._name,
            started_at=run.started_at or self._clock(),
            token=token,
        )

    def _order(self, run: RunRecord, job: JobRecord, universe: Universe) -> JobOrder:
        return JobOrder(
            run_id=run.run_id,
            symbol=job.symbol,
            mode=job.mode,
            source=run.source,
            timeframe=universe.timeframe,
            horizons=universe.horizons,
            plan=self._settings.plan(job.mode),
            created_at=job.created_at,
        )


def _may_be_skipped(run: RunRecord) -> bool:
    """A cycle comes again by itself; but one that has begun is brought to its end."""
    return run.mode is Mode.CYCLE and run.started_at is None


def _queued(run: RunRecord, job: PlannedJob) -> JobRecord:
    return JobRecord(
        job_id=f"{run.run_id}.{job.symbol.token}",
        run_id=run.run_id,
        symbol=job.symbol,
        mode=job.mode,
        source=run.source,
        status=Status.QUEUED,
        created_at=run.requested_at,
    )
