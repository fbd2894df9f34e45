"""Asking for the end of runs. Their coordinators and workers end them; here it is only written."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Protocol

from shared.contracts.errors import NotFound
from shared.contracts.records import RunRecord
from shared.contracts.requests import CancelRequest
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)


class Runs(Protocol):
    """The view of runs."""

    async def unfinished(self) -> list[RunRecord]: ...


class RunBook(Protocol):
    """The runs as they are stored. Every verb may raise Unavailable."""

    async def run(self, run_id: str) -> RunRecord | None: ...

    async def waiting(self) -> Mapping[str, RunRecord]:
        """The requests in the queue as runs that no trainer has opened yet, by their ids."""

    async def revise(
        self, run_id: str, revised: Callable[[RunRecord | None], RunRecord]
    ) -> RunRecord:
        """Write what is made of the newest record, by compare-and-set; what stands there now."""


class Cancellation:
    """The scheduler's endpoint `cancel`."""

    def __init__(self, runs: Runs, book: RunBook, clock: Clock) -> None:
        self._runs = runs
        self._book = book
        self._clock = clock

    async def cancel(self, question: CancelRequest) -> list[RunRecord]:
        """Ask for the end of one run, or of all that have not ended; the runs as they stand now.

        Within seconds their running children are ended, and the rest of their jobs is cancelled.
        A run that has ended stays as it is; asking again changes nothing.

        Raises:
            NotFound: there is no run of that id, nor a request for it.
        """
        if question.run_id is None:
            return await self._cancel_everything()
        run = await self._book.run(question.run_id)
        run = run or (await self._book.waiting()).get(question.run_id)
        if run is None:
            raise NotFound(f"there is no run {question.run_id}, nor a request for it")
        return [await self._cancel(run)]

    async def _cancel_everything(self) -> list[RunRecord]:
        unfinished = {run.run_id: run for run in await self._runs.unfinished()}
        wanted = {**await self._book.waiting(), **unfinished}
        asked = [await self._cancel(run) for run in wanted.values()]
        return [run for run in asked if not run.status.final]

    async def _cancel(self, run: RunRecord) -> RunRecord:
        log.info("asked to cancel", extra={"run_id": run.run_id})
        return await self._book.revise(run.run_id, partial(_cancelled, run, self._clock()))


def _cancelled(run: RunRecord, at: datetime, stored: RunRecord | None) -> RunRecord:
    newest = stored or run
    if newest.status.final or newest.cancel_requested_at:
        return newest
    return replace(newest, cancel_requested_at=at)
