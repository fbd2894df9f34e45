"""The tick ledger in KV `evertrain_ticks`, which forgets after 30 days."""

from contextlib import aclosing
from datetime import datetime

from shared.bus.connection import Connection
from shared.bus.kv import Bucket, CaughtUp, Entry, Removed
from shared.contracts import codec, subjects
from shared.contracts.records import TickRecord


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


class MissedTicks:
    """How many instants nobody acted on, as far back as the ledger remembers."""

    def __init__(self, connection: Connection) -> None:
        self._ticks = Bucket(connection, subjects.TICKS)
        self._missed: dict[str, int] = {}

    @property
    def count(self) -> int:
        return sum(self._missed.values())

    async def follow(self) -> None:
        """Keep the count up to date. Cancelled when it is no longer needed."""
        async with aclosing(self._ticks.watch("tick.>")) as changes:
            async for change in changes:
                match change:
                    case Entry(key, value, _) if missed := codec.decode(value, TickRecord).missed:
                        self._missed[key] = missed
                    case Removed(key, _):
                        self._missed.pop(key, None)
                    case Entry() | CaughtUp():
                        pass
