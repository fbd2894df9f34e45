"""What the scheduler writes to the bus: training requests, the tick ledger."""

from datetime import datetime

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.records import TickRecord
from shared.contracts.requests import TrainRequest
from shared.contracts.terms import Mode


class TrainingRequests:
    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def request(self, mode: Mode, request: TrainRequest) -> None:
        await self._publisher.publish(
            subjects.train(mode), codec.encode(request), message_id=f"train:{request.request_id}"
        )


class TickLedger:
    def __init__(self, connection: Connection) -> None:
        self._ticks = Bucket(connection, subjects.TICKS)

    async def find(self, schedule: str, due: datetime) -> TickRecord | None:
        entry = await self._ticks.get(subjects.tick_key(schedule, due))
        return codec.decode(entry.value, TickRecord) if entry else None

    async def note(self, tick: TickRecord) -> None:
        """Raises Conflict: the instant is noted already."""
        await self._ticks.create(subjects.tick_key(tick.schedule, tick.due), codec.encode(tick))

    async def finish(self, tick: TickRecord) -> None:
        await self._ticks.put(subjects.tick_key(tick.schedule, tick.due), codec.encode(tick))
