"""What people decided, in memory: it passes the same claims as the real thing."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

from services.scheduler.adapters.decisions import Stored
from shared.contracts.errors import Conflict

T = TypeVar("T")


class MemoryRecord(Generic[T]):
    """`meanwhile` is called before each replacement: what others do at that moment."""

    def __init__(self) -> None:
        self.revisions: list[T] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self._watchers: list[asyncio.Queue[T]] = []

    @property
    def newest(self) -> T:
        return self.revisions[-1]

    def put(self, record: T) -> None:
        """Write it, as another process would."""
        self.revisions.append(record)
        for watcher in self._watchers:
            watcher.put_nowait(record)

    async def read(self) -> Stored[T] | None:
        return Stored(self.newest, len(self.revisions)) if self.revisions else None

    async def replace(self, record: T, place: int) -> None:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        if place != len(self.revisions):
            raise Conflict("someone else wrote in between")
        self.put(record)

    async def history(self) -> list[T]:
        return list(self.revisions)

    async def changes(self) -> AsyncGenerator[T]:
        arrived: asyncio.Queue[T] = asyncio.Queue()
        if self.revisions:
            arrived.put_nowait(self.newest)
        self._watchers.append(arrived)
        while True:
            yield await arrived.get()
