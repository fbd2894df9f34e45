"""The tick ledger in KV `evertrain_ticks`, which forgets after 30 days."""

from datetime import datetime

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.watch import follow
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
        await follow(
            self._ticks,
            TickRecord,
            put=self._put,
            gone=lambda key: self._missed.pop(key, None),
            pattern="tick.>",
        )

    def _put(self, tick: TickRecord) -> None:
        if tick.missed:
            self._missed[subjects.tick_key(tick.schedule, tick.due)] = tick.missed
