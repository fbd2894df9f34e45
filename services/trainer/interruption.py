"""How coordinators and workers learn that the end of their run was asked for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

from shared.contracts.errors import Permanent, Unavailable
from shared.contracts.records import RunRecord
from shared.runtime.tasks import unless

#: They look at the run's record, so that there is no message which could be lost on its way.
_LOOK_EVERY_S: Final = 1.0


class RunBook(Protocol):
    async def run(self, run_id: str) -> RunRecord | None:
        """May raise Unavailable."""


class RunCancelled(Permanent):
    """Somebody asked for the end of the run."""

    code = "cancelled"

    def __init__(self) -> None:
        super().__init__("the run was cancelled")


@asynccontextmanager
async def unless_cancelled(book: RunBook, run: RunRecord) -> AsyncIterator[None]:
    """Run the body; cancel it within about a second of a request to end the run.

    Raises:
        RunCancelled: that was asked for. If the record says so already, the body did not run.
    """
    reason = RunCancelled()
    if _asked_for(run):
        raise reason
    async with unless(_cancellation(book, run.run_id), reason):
        yield


async def _cancellation(book: RunBook, run_id: str) -> None:
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        with suppress(Unavailable):
            run = await book.run(run_id)
            if run is not None and _asked_for(run):
                return


def _asked_for(run: RunRecord) -> bool:
    return run.cancel_requested_at is not None and not run.status.final
