"""The jobs of one run: handed out batch by batch, seen to their end, and taken back."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Final, Protocol

from services.trainer.domain import announcements
from services.trainer.domain.board import Board, Tally, tally
from services.trainer.domain.plans import plan
from services.trainer.interruption import RunCancelled
from shared.contracts.configuration import Configuration
from shared.contracts.errors import Unavailable
from shared.contracts.events import Event
from shared.contracts.records import JobRecord, Problem, RunRecord, Universe
from shared.contracts.requests import JobOrder, PlannedJob
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Status
from shared.runtime.clock import Clock
from shared.runtime.tasks import alongside

#: Longer than the server remembers the ids of orders, so that an order that is gone is a new one.
_ORDER_AGAIN_S: Final = 600.0

#: How often, and how many times, a cancelled run looks whether its workers have ended their jobs.
_LOOK_EVERY_S: Final = 0.5
_LOOKS: Final = 30


class JobBook(Protocol):
    """The stored jobs. Every verb may raise Unavailable."""

    async def jobs(self, run_id: str) -> list[JobRecord]: ...

    async def keep_job(self, job: JobRecord) -> JobRecord:
        """Write the record, but never over one that has ended; what stands there now."""

    def job_changes(self, run_id: str) -> AsyncGenerator[JobRecord]:
        """The jobs of a run as they are, then as they change; old states may come again."""


class Planner(Protocol):
    """The scheduler, which knows what is due. Every verb may raise Unavailable."""

    async def plan(self, mode: Mode, symbols: Sequence[Symbol] | None) -> list[PlannedJob]: ...

    async def universe(self) -> Universe: ...

    async def configuration(self) -> Configuration: ...


class Outlet(Protocol):
    """Where events and job orders go. Every verb may raise Unavailable."""

    async def emit(self, fact: Event) -> None: ...

    async def order(self, order: JobOrder) -> None:
        """Queue a job, waiting while another one for its symbol is in the queue."""

    async def take_back(self, run_id: str, symbol: Symbol) -> None:
        """Take the run's job for this symbol out of the queue, if it is there."""


class Foreman:
    """Has no memory of its own: what it is to do next follows from the records of the jobs."""

    def __init__(self, *, book: JobBook, planner: Planner, outlet: Outlet, clock: Clock) -> None:
        self._book = book
        self._planner = planner
        self._outlet = outlet
        self._clock = clock

    async def see_through(self, run: RunRecord) -> Tally:
        """Hand out the jobs and see every one of them end. All of them train on the universe and
        the configuration of now.

        Raises:
            RunCancelled: a worker has heard of that, and ended its job.
        """
        universe = await self._planner.universe()
        configuration = await self._planner.configuration()
        board = Board(run, await self._jobs(run, universe))
        orders = {
            symbol: _order(run, job, universe, configuration) for symbol, job in board.jobs.items()
        }
        async with aclosing(self._book.job_changes(run.run_id)) as changes:
            for batch in board.batches:
                await self._hand_out(board, batch, orders)
                again = self._hand_out_again(board, batch, orders)
                async with alongside(again, name=f"orders {run.run_id}"):
                    while not board.ended(batch):
                        job = await anext(changes)
                        if job.status is Status.CANCELLED:
                            raise RunCancelled
                        if board.take(job):
                            await self._outlet.emit(board.progress(batch, self._clock()))
        return board.count

    async def call_off(self, run_id: str, reason: Problem) -> Tally:
        """End the jobs of a cancelled run: nobody begins another one, and whoever trains one has
        time to end it. What a lost worker leaves behind is ended here.
        """
        for job in await self._book.jobs(run_id):
            if job.status is Status.QUEUED:
                await self._outlet.take_back(run_id, job.symbol)
                await self._drop(job, Status.CANCELLED, reason)
        for job in await self._last_words(run_id):
            if not job.status.final:
                await self._drop(job, Status.CANCELLED, reason)
        return await self.count(run_id)

    async def count(self, run_id: str) -> Tally:
        return tally(await self._book.jobs(run_id))

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
        self, board: Board, batch: Sequence[Symbol], orders: dict[Symbol, JobOrder]
    ) -> None:
        """A symbol that has left the universe since the run was planned is left out."""
        known = frozenset((await self._planner.universe()).symbols)
        for job in (board.jobs[symbol] for symbol in batch):
            if job.status.final:
                continue
            if job.symbol in known:
                await self._outlet.order(orders[job.symbol])
            else:
                gone = f"{job.symbol} is not one of the symbols here any more"
                await self._drop(job, Status.SKIPPED, Problem(code="unknown_symbol", message=gone))

    async def _hand_out_again(
        self, board: Board, batch: Sequence[Symbol], orders: dict[Symbol, JobOrder]
    ) -> None:
        """An order that nobody took for a day has expired, and one that was parked is gone."""
        while True:
            await asyncio.sleep(_ORDER_AGAIN_S)
            with suppress(Unavailable):
                await self._hand_out(board, batch, orders)

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


def _order(
    run: RunRecord, job: JobRecord, universe: Universe, configuration: Configuration
) -> JobOrder:
    return JobOrder(
        run_id=run.run_id,
        symbol=job.symbol,
        mode=job.mode,
        source=run.source,
        timeframe=universe.timeframe,
        horizons=universe.horizons,
        plan=plan(configuration, job.mode),
        created_at=job.created_at,
    )


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
