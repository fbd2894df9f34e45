"""Changing what all schedulers share: each change by compare-and-set, so that none is lost."""

from collections.abc import Callable
from contextlib import suppress
from typing import Generic, NamedTuple, Protocol, TypeVar

from shared.contracts.errors import Conflict

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Stored(Protocol[T_co]):
    @property
    def record(self) -> T_co: ...

    @property
    def place(self) -> int: ...


class Record(Protocol[T]):
    """One stored record. Every verb may raise Unavailable."""

    async def read(self) -> Stored[T] | None: ...

    async def replace(self, record: T, place: int) -> None:
        """`place` is that of the record that was read, 0 if there was none.

        Raises:
            Conflict: someone else wrote in between.
        """


class Revision(NamedTuple, Generic[T]):
    """What was stored (None: nothing), and what was written over it (None: nothing)."""

    before: T | None
    after: T | None


async def revise(record: Record[T], revised: Callable[[T | None], T | None]) -> Revision[T]:
    """Write what `revised` makes of the stored record, and again if someone else wrote in between.
    Where it makes nothing, or the same, that is left as it is.

    Raises:
        Unavailable: as `record` does; what `revised` raises, too.
    """
    while True:
        stored = await record.read()
        before = stored.record if stored else None
        after = revised(before)
        if after is None or after == before:
            return Revision(before, None)
        with suppress(Conflict):
            await record.replace(after, stored.place if stored else 0)
            return Revision(before, after)
