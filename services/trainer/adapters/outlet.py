"""Events and job orders onto JetStream."""

import asyncio
import contextlib
from typing import NamedTuple

import nats.errors

from shared.bus import stored
from shared.bus.connection import Connection
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.errors import Conflict, Unavailable
from shared.contracts.events import Event
from shared.contracts.requests import JobOrder
from shared.contracts.symbols import Symbol

#: How often to look whether the symbol's place in the queue is free again.
_FREE_AGAIN_S = 1.0
_TIMEOUT_S = 5.0


class BusOutlet:
    def __init__(self, connection: Connection, publisher: Publisher) -> None:
        self._connection = connection
        self._publisher = publisher

    async def emit(self, fact: Event) -> None:
        await self._publisher.emit(fact)

    async def order(self, order: JobOrder) -> None:
        """Queue the job; ordering it again is the same job."""
        subject, payload = subjects.job(order.symbol), codec.encode(order)
        identity = f"job:{order.run_id}:{order.symbol}"
        while True:
            try:
                await self._publisher.publish(subject, payload, message_id=identity)
            except Conflict:
                queued = await self._queued(subject)
                if queued and queued.run_id == order.run_id:
                    return
                await asyncio.sleep(_FREE_AGAIN_S)
            else:
                return

    async def take_back(self, run_id: str, symbol: Symbol) -> None:
        """Take the run's job for this symbol out of the queue, if it is there. A worker that has it
        in hand already finds out by itself that it is not wanted any more.
        """
        queued = await self._queued(subjects.job(symbol))
        if queued and queued.run_id == run_id:
            with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                async with asyncio.timeout(_TIMEOUT_S):
                    await self._connection.js.delete_msg(subjects.JOBS, queued.sequence)

    async def _queued(self, subject: str) -> "_Queued | None":
        """The job in the queue; None if there is none any more, or NATS does not say."""
        try:
            found = await stored.newest(self._connection, subjects.JOBS, subject)
        except Unavailable:
            return None
        return _Queued(codec.decode(found.data, JobOrder).run_id, found.sequence) if found else None


class _Queued(NamedTuple):
    run_id: str
    sequence: int
