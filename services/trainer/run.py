"""A request becomes a run: hold the training lock, hand out jobs, see every one of them end."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from services.trainer.domain import announcements
from services.trainer.domain.board import Board, Tally, tally
from services.trainer.domain.plans import plan
from services.trainer.domain.sameness import same_run
from services.trainer.interruption import RunCancelled, unless_cancelled
from shared.contracts import codec
from shared.contracts.configuration import Configuration
from shared.contracts.errors import LeaseTaken, Permanent, Unavailable
from shared.contracts.events import Event
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
from shared.runtime.lease import Lease, LeasePolicy, LeaseStore, hold
from shared.runtime.tasks import alongside

log = logging.getLogger(__name__)

#: Longer than the server remembers the ids of orders, so that an order that is gone is a new one.
_ORDER_AGAIN_S: Final = 600.0

#: How often, and how many times, a cancelled run looks whether its workers have ended their jobs.
_LOOK_EVERY_S: Final = 0.5
_LOOKS: Final = 30


class RunBook(Protocol):
    """The stored runs and jobs. Every verb may raise Unavailable."""

    async def run(self, run_id: str) -> RunRecord | None: ...

    async def keep_run(self, run: RunRecord) -> RunRecord:
        """Write the record, but never over one that has ended; what stands there now."""

    async def jobs(self, run_id: str) -> list[JobRecord]: ...

    async def keep_job(self, job: JobRecord) -> JobRecord:
        """Write the record, but never over one that has ended; what stands there now."""

    def job_changes(self, run_id: str) -> AsyncGenerator[JobRecord]:
        """The jobs of a run as they are, then as they change; old states may come again."""

    async def lock_holder(self) -> LockHolder | None: ...


class Planner(Protocol):
    """The scheduler, which knows what is due. Every verb may raise Unavailable."""

    async def plan(self, mode: Mode, symbols: Sequence[Symbol] | None) -> list[PlannedJob]: ...

    async def newest_runs(self, mode: Mode) -> list[RunRecord]: ...

    async def universe(self) -> Universe: ...

    async def configuration(self) -> Configuration: ...


class Outlet(Protocol):
    """Where events and job orders go. Every verb may raise Unavailable."""

    async def emit(self, fact: Event) -> None: ...

    async def order(self, order: JobOrder) -> None:
        """Queue a job, waiting while another one for its symbol is in the queue."""

    async def take_back(self, run_id: str, symbol: Symbol) -> None:
        """Take the run's job for this symbol out of the queue, if it is there."""


class Registry(Protocol):
    async def check(self, symbols: Sequence[Symbol], universe: Universe) -> PostTrainCheck:
        """What the registry really holds for these symbols; may raise Unavailable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a run trains on and how, as it is decided when a coordinator takes it up."""

    universe: Universe
    configuration: Configuration


class Coordinator:
    """Conducts runs, one at a time over all trainers: the training lock decides whose.

    Everything it needs to continue is in the run book, so a run that loses its coordinator is
    redelivered to another one, which hands out what is left.
    """

    def __init__(
        self,
        *,
        name: str,
        book: RunBook,
        planner: Planner,
        outlet: Outlet,
        registry: Registry,
        leases: LeaseStore,
        policy: LeasePolicy,
        clock: Clock,
    ) -> None:
        self._name = name
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
        run = await self._open(request.run_id(mode, place), mode, request, asked_at)
        if run.status.final:
            return
        try:
            await self._see_through(run)
        except RunCancelled as exc:
            await self._call_off(run, exc)
        except LeaseTaken:
            lock = await self._book.lock_holder()
            if lock is None or lock.run_id == run.run_id:
                raise
            await self._skip(run, _locked_by(lock), lock)
        except Permanent as exc:
            await self._fail(run, exc)

    async def _open(
        self, run_id: str, mode: Mode, request: TrainRequest, asked_at: datetime
    ) -> RunRecord:
        """The run of this request: the one in the book, or a new one over what is due now."""
        if (known := await self._book.run(run_id)) is not None:
            return known
        planned = await self._planner.plan(mode, request.symbols)
        configuration = await self._planner.configuration()
        run = await self._book.keep_run(
            RunRecord(
                run_id=run_id,
                mode=mode,
                source=request.source,
                status=Status.QUEUED,
                symbols=tuple(job.symbol for job in planned),
                batch_size=request.batch_size or configuration.train_batch_size,
                requested_at=asked_at,
            )
        )
        await self._outlet.emit(announcements.run_requested(run, self._clock()))
        return run

    async def _needless(self, run: RunRecord) -> Problem | None:
        """Why the run is not to begin at all; None if it is, or has begun."""
        if run.started_at is not None or run.cancel_requested_at is not None:
            return None
        if not run.symbols:
            return Problem(code="nothing_due", message=f"no symbol is due for a {run.mode} run")
        if same := same_run(run, await self._planner.newest_runs(run.mode)):
            words = f"run {same.run_id} does the same, and began after this one was asked for"
            return Problem(code="same_run", message=words)
        return None

    async def _see_through(self, run: RunRecord) -> None:
        """Conduct the run under the lock, unless it has ended while the lock was waited for.

        It can be cancelled until its last job has ended.
        """
        if (reason := await self._needless(run)) is not None:
            return await self._skip(run, reason, None)
        async with AsyncExitStack() as to_the_end:
            async with unless_cancelled(self._book, run.run_id):
                await to_the_end.enter_async_context(self._lock(run))
                run = await self._book.run(run.run_id) or run
                if run.status.final:
                    return None
                run = await self._start(run)
                count = await self._conduct(run, await self._terms())
            universe = await self._planner.universe()
            known = frozenset(universe.symbols)
            check = await self._registry.check([s for s in run.symbols if s in known], universe)
            return await self._finish(run, count, check)

    def _lock(self, run: RunRecord) -> AbstractAsyncContextManager[Lease]:
        return hold(
            self._leases,
            TRAINING_LOCK,
            lambda token: codec.encode(self._holder(run, token)),
            policy=self._policy,
            poll_every=None if _may_be_skipped(run) else 1.0,
        )

    async def _terms(self) -> Terms:
        universe = await self._planner.universe()
        return Terms(universe=universe, configuration=await self._planner.configuration())

    async def _conduct(self, run: RunRecord, terms: Terms) -> Tally:
        """Hand out the jobs and see every one of them end."""
        board = Board(run, await self._jobs(run, terms.universe))
        async with aclosing(self._book.job_changes(run.run_id)) as changes:
            for batch in board.batches:
                await self._hand_out(run, board, batch, terms)
                async with alongside(
                    self._hand_out_again(run, board, batch, terms), name=f"orders {run.run_id}"
                ):
                    while not board.ended(batch):
                        if board.take(await anext(changes)):
                            await self._outlet.emit(board.progress(batch, self._clock()))
        return board.count

    async def _jobs(self, run: RunRecord, universe: Universe) -> list[JobRecord]:
        """The jobs of the run; those that are not in the book yet are put there."""
        jobs, known = await self._book.jobs(run.run_id), frozenset(universe.symbols)
        there = {job.symbol for job in jobs}
        missing = [symbol for symbol in run.symbols if symbol not in there]
        due = [symbol for symbol in missing if symbol in known]
        planned = await self._planner.plan(run.mode, due) if due else []
        planned += [PlannedJob(symbol=s, mode=run.mode) for s in missing if s not in known]
        return jobs + [await self._book.keep_job(_queued(run, job)) for job in planned]

    async def _hand_out(
        self, run: RunRecord, board: Board, batch: Sequence[Symbol], terms: Terms
    ) -> None:
        """A symbol that has left the universe since the run was planned is left out."""
        known = frozenset((await self._planner.universe()).symbols)
        for job in (board.jobs[symbol] for symbol in batch):
            if job.status.final:
                continue
            if job.symbol in known:
                await self._outlet.order(self._order(run, job, terms))
            else:
                gone = f"{job.symbol} is not one of the symbols here any more"
                await self._drop(job, Status.SKIPPED, Problem(code="unknown_symbol", message=gone))

    async def _hand_out_again(
        self, run: RunRecord, board: Board, batch: Sequence[Symbol], terms: Terms
    ) -> None:
        """An order that nobody took for a day has expired, and one that was parked is gone."""
        while True:
            await asyncio.sleep(_ORDER_AGAIN_S)
            with suppress(Unavailable):
                await self._hand_out(run, board, batch, terms)

    async def _start(self, run: RunRecord) -> RunRecord:
        """Mark the run as running; one that is continued keeps the time at which it began."""
        now = self._clock()
        run = await self._book.keep_run(
            replace(run, status=Status.RUNNING, started_at=run.started_at or now)
        )
        log.info("run started", extra={"run_id": run.run_id, "jobs": run.total})
        await self._outlet.emit(announcements.run_started(run, self._name, now))
        return run

    async def _finish(self, run: RunRecord, count: Tally, check: PostTrainCheck) -> None:
        status = Status.FAILED if count.failed else Status.SUCCEEDED
        ended, now = replace(_counted(run, count), status=status, check=check), self._clock()
        await self._outlet.emit(announcements.run_completed(ended, now))
        await self._book.keep_run(replace(ended, finished_at=now))
        log.info(
            "run finished",
            extra={"run_id": run.run_id, "done": count.done, "failed": count.failed},
        )
        if check.missing or check.unsound:
            unsound = [f"{one.symbol}: {one.reason.message}" for one in check.unsound]
            found = {"missing": list(check.missing), "unsound": unsound}
            log.warning("post-train check", extra={"run_id": run.run_id, **found})

    async def _skip(self, run: RunRecord, reason: Problem, lock: LockHolder | None) -> None:
        now = self._clock()
        log.info("run skipped", extra={"run_id": run.run_id, "reason": reason.message})
        await self._outlet.emit(announcements.run_skipped(run, reason, lock, now))
        await self._book.keep_run(
            replace(run, status=Status.SKIPPED, finished_at=now, error=reason)
        )

    async def _fail(self, run: RunRecord, reason: Permanent) -> None:
        log.error("run failed", extra={"run_id": run.run_id, "reason": str(reason)})
        await self._end(run, Status.FAILED, Problem.of(reason))

    async def _call_off(self, run: RunRecord, reason: RunCancelled) -> None:
        """End a cancelled run: nobody begins another job of it, and whoever trains one ends it."""
        for job in await self._book.jobs(run.run_id):
            if job.status is Status.QUEUED:
                await self._outlet.take_back(run.run_id, job.symbol)
                await self._drop(job, Status.CANCELLED, Problem.of(reason))
        for job in await self._last_words(run.run_id):
            if not job.status.final:  # its worker is lost
                await self._drop(job, Status.CANCELLED, Problem.of(reason))
        log.info("run cancelled", extra={"run_id": run.run_id})
        await self._end(run, Status.CANCELLED, Problem.of(reason))

    async def _last_words(self, run_id: str) -> list[JobRecord]:
        """The jobs, once every worker has told how its job ended, or has had time to."""
        jobs = await self._book.jobs(run_id)
        for _ in range(_LOOKS):
            if all(job.status.final for job in jobs):
                break
            await asyncio.sleep(_LOOK_EVERY_S)
            jobs = await self._book.jobs(run_id)
        return jobs

    async def _drop(self, job: JobRecord, status: Status, reason: Problem) -> None:
        now = self._clock()
        await self._outlet.emit(announcements.job_skipped(job, reason, now))
        await self._book.keep_job(replace(job, status=status, finished_at=now, error=reason))

    async def _end(self, run: RunRecord, status: Status, reason: Problem) -> None:
        """End a run as a whole, before its jobs have all been done."""
        run, now = await self._book.run(run.run_id) or run, self._clock()
        count = tally(await self._book.jobs(run.run_id))
        await self._outlet.emit(announcements.run_failed(run, reason, now))
        await self._book.keep_run(
            replace(_counted(run, count), status=status, finished_at=now, error=reason)
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

    def _order(self, run: RunRecord, job: JobRecord, terms: Terms) -> JobOrder:
        return JobOrder(
            run_id=run.run_id,
            symbol=job.symbol,
            mode=job.mode,
            source=run.source,
            timeframe=terms.universe.timeframe,
            horizons=terms.universe.horizons,
            plan=plan(terms.configuration, job.mode),
            created_at=job.created_at,
        )


def _locked_by(lock: LockHolder) -> Problem:
    return Problem(
        code="training_locked",
        message=f"{lock.holder} has been training the {lock.mode} run {lock.run_id}, asked for by "
        f"{lock.source}, since {lock.started_at:%Y-%m-%d %H:%M:%S} UTC; the next cycle tries again",
    )


def _may_be_skipped(run: RunRecord) -> bool:
    """A cycle comes again by itself; but one that has begun is brought to its end."""
    return run.mode is Mode.CYCLE and run.started_at is None


def _counted(run: RunRecord, count: Tally) -> RunRecord:
    return replace(run, done=count.done, failed=count.failed, skipped=count.skipped)


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
