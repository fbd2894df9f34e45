"""A request becomes a run: hold the training lock while its jobs are done, and tell of its end."""

import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from services.trainer.domain import announcements
from services.trainer.domain.board import Tally
from services.trainer.domain.sameness import same_run
from services.trainer.interruption import RunCancelled, unless_cancelled
from shared.contracts import codec
from shared.contracts.configuration import Configuration
from shared.contracts.errors import LeaseTaken, Permanent
from shared.contracts.events import Event
from shared.contracts.records import LockHolder, PostTrainCheck, Problem, RunRecord, Universe
from shared.contracts.requests import PlannedJob, TrainRequest
from shared.contracts.subjects import TRAINING_LOCK
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Status
from shared.runtime.clock import Clock
from shared.runtime.lease import Lease, LeasePolicy, LeaseStore, hold

log = logging.getLogger(__name__)


class RunBook(Protocol):
    """The stored runs. Every verb may raise Unavailable."""

    async def run(self, run_id: str) -> RunRecord | None: ...

    async def keep_run(self, run: RunRecord) -> RunRecord:
        """Write the record, but never over one that has ended; what stands there now."""

    async def lock_holder(self) -> LockHolder | None: ...


class Planner(Protocol):
    """The scheduler, which knows what is due. Every verb may raise Unavailable."""

    async def plan(self, mode: Mode, symbols: Sequence[Symbol] | None) -> list[PlannedJob]: ...

    async def newest_runs(self, mode: Mode) -> list[RunRecord]: ...

    async def universe(self) -> Universe: ...

    async def configuration(self) -> Configuration: ...


class Outlet(Protocol):
    async def emit(self, fact: Event) -> None:
        """May raise Unavailable."""


class Foreman(Protocol):
    """Who deals with the jobs of a run. Every verb may raise Unavailable."""

    async def see_through(self, run: RunRecord) -> Tally:
        """Hand out the jobs and see every one of them end.

        Raises:
            RunCancelled: a worker has heard of that, and ended its job.
        """

    async def call_off(self, run_id: str, reason: Problem) -> Tally:
        """See every job end before it is done."""

    async def count(self, run_id: str) -> Tally: ...


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
        book: RunBook,
        foreman: Foreman,
        planner: Planner,
        outlet: Outlet,
        registry: Registry,
        leases: LeaseStore,
        policy: LeasePolicy,
        clock: Clock,
    ) -> None:
        self._name = name
        self._book = book
        self._foreman = foreman
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
        """Let the jobs be done under the lock, unless it has ended while the lock was waited for.

        It can be cancelled until its last job has ended.
        """
        if (reason := await self._needless(run)) is not None:
            return await self._skip(run, reason, None)
        async with AsyncExitStack() as to_the_end:
            async with unless_cancelled(self._book, run):
                await to_the_end.enter_async_context(self._lock(run))
                run = await self._book.run(run.run_id) or run
                if run.status.final:
                    return None
                run = await self._start(run)
                count = await self._foreman.see_through(run)
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

    async def _start(self, run: RunRecord) -> RunRecord:
        """Mark the run as running; one that is continued keeps the time at which it began."""
        now = self._clock()
        step = "run continued" if run.started_at else "run started"
        run = await self._book.keep_run(
            replace(run, status=Status.RUNNING, started_at=run.started_at or now)
        )
        log.info(step, extra={"run_id": run.run_id, "jobs": run.total})
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
        count = await self._foreman.count(run.run_id)
        await self._end(run, Status.FAILED, Problem.of(reason), count)

    async def _call_off(self, run: RunRecord, reason: RunCancelled) -> None:
        why = Problem.of(reason)
        count = await self._foreman.call_off(run.run_id, why)
        log.info("run cancelled", extra={"run_id": run.run_id})
        await self._end(run, Status.CANCELLED, why, count)

    async def _end(self, run: RunRecord, status: Status, reason: Problem, count: Tally) -> None:
        """End a run as a whole, before its jobs have all been done."""
        run, now = await self._book.run(run.run_id) or run, self._clock()
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
