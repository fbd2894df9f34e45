"""Events and job orders onto JetStream."""

import asyncio

from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.errors import Conflict
from shared.contracts.events import Event
from shared.contracts.requests import JobOrder

#: How often to look whether the symbol's place in the queue is free again.
_FREE_AGAIN_S = 1.0


class BusOutlet:
    def __init__(self, publisher: Publisher) -> None:
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
                await asyncio.sleep(_FREE_AGAIN_S)
            else:
                return
