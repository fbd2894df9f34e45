"""How far the running jobs are, from their events; a lost event only shows an older figure."""

import asyncio
import contextlib

import nats.errors
from nats.aio.msg import Msg

from shared.bus.connection import Connection
from shared.contracts import codec
from shared.contracts.errors import AppError
from shared.contracts.events import JobCompleted, JobFailed, JobProgressed
from shared.contracts.records import JobRecord
from shared.contracts.terms import Status

_SUBJECT = "evertrain.event.job.*.*"


class ProgressMirror:
    def __init__(self) -> None:
        self._progress: dict[tuple[str, str], float] = {}

    def of(self, job: JobRecord) -> float:
        if job.status is not Status.RUNNING:
            return job.progress_pct
        return self._progress.get((job.run_id, job.symbol), job.progress_pct)

    async def follow(self, connection: Connection, stop: asyncio.Event) -> None:
        """A worker."""
        subscription = await connection.client.subscribe(_SUBJECT, cb=self._take)
        await stop.wait()
        with contextlib.suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()

    async def _take(self, message: Msg) -> None:
        with contextlib.suppress(AppError):
            match codec.decode_event(message.data):
                case JobProgressed(run_id=run_id, symbol=symbol, progress_pct=progress):
                    self._progress[run_id, symbol] = progress
                case (
                    JobCompleted(run_id=run_id, symbol=symbol)
                    | JobFailed(run_id=run_id, symbol=symbol)
                ):
                    self._progress.pop((run_id, symbol), None)
                case _:
                    pass
