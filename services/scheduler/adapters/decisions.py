"""What people decided, in KV `evertrain_config`: read, replaced, followed."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, NamedTuple, TypeVar

from shared.bus.connection import Connection
from shared.bus.kv import Bucket, Entry
from shared.bus.watch import skipping
from shared.contracts import codec, subjects
from shared.contracts.errors import MalformedMessage

T = TypeVar("T")


class Stored(NamedTuple, Generic[T]):
    """`place` is what a replacement must name."""

    record: T
    place: int


class StoredRecord(Generic[T]):
    """One key. Every verb may raise Unavailable."""

    def __init__(self, connection: Connection, key: str, kind: type[T]) -> None:
        self._bucket = Bucket(connection, subjects.CONFIG)
        self._key = key
        self._kind = kind

    async def read(self) -> Stored[T] | None:
        """Raises MalformedMessage: something else is stored there."""
        entry = await self._bucket.get(self._key)
        if entry is None:
            return None
        try:
            return Stored(codec.decode(entry.value, self._kind), entry.revision)
        except MalformedMessage as exc:
            raise MalformedMessage(
                f"key {self._key} of KV {self._bucket.name} cannot be read ({exc}): mend it, or "
                f"delete it to begin with the settings again"
            ) from exc

    async def replace(self, record: T, place: int) -> None:
        """`place` is that of the record that was read, 0 if there was none.

        Raises:
            Conflict: someone else wrote in between.
        """
        if place:
            await self._bucket.update(self._key, codec.encode(record), place)
        else:
            await self._bucket.create(self._key, codec.encode(record))

    async def history(self) -> list[T]:
        """What it was, as far back as the bucket remembers, oldest first."""
        entries = await self._bucket.history(self._key)
        return [codec.decode(entry.value, self._kind) for entry in entries]

    async def changes(self) -> AsyncGenerator[T]:
        """What it is, then each change, for ever; after a reconnect again. What cannot be read is
        skipped: the last good one stays.
        """
        async with aclosing(self._bucket.watch(self._key)) as changes:
            async for change in changes:
                if isinstance(change, Entry):
                    with skipping(change.key):
                        yield codec.decode(change.value, self._kind)

    async def follow(self, take: Callable[[T], object]) -> None:
        """Hand over what it is, then each change; never returns."""
        async with aclosing(self.changes()) as changes:
            async for record in changes:
                take(record)
