"""Events and job orders onto JetStream."""

import asyncio

import nats.errors

from shared.bus.connection import Connection
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.errors import Conflict
from shared.contracts.events import Event
from shared.contracts.requests import JobOrder

#: How often to look whether the symbol's place in the queue is free again.
_FREE_AGAIN_S = 1.0
_TIMEOUT_S = 5.0


class BusOutlet:
    def __init__(self, connection: Connection, publisher: Publisher) -> None:
        self._js = connection.js
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
                if await self._run_queued(subject) == order.run_id:
                    return
                await asyncio.sleep(_FREE_AGAIN_S)
            else:
                return

    async def _run_queued(self, subject: str) -> str | None:
        """The run whose job is in the queue; None if it has just left, or NATS does not say."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                queued = await self._js.get_last_msg(subjects.JOBS, subject)
        except (nats.errors.Error, OSError, TimeoutError):
            return None
        return codec.decode(queued.data or b"", JobOrder).run_id
