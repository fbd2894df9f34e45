"""A LeaseStore in memory. It passes the same suite as the real one (tests/contract)."""

import asyncio
from typing import NamedTuple

from shared.contracts.errors import LeaseLost, LeaseTaken, Unavailable
from shared.runtime.lease import Revision


class Held(NamedTuple):
    value: bytes
    revision: Revision
    expires_at: float


class MemoryLeaseStore:
    """Time to live is counted by the loop's clock. What can go wrong is set from outside."""

    epoch = "memory"

    def __init__(self) -> None:
        #: Nothing arrives and nothing is answered.
        self.partitioned = False
        #: This many of the next writes are stored, but their answers are lost.
        self.lost_answers = 0
        #: How long a request takes, in seconds.
        self.latency = 0.0
        self.renewals = 0
        self._held: dict[str, Held] = {}
        self._last = 0

    def value(self, key: str) -> bytes | None:
        held = self._live(key)
        return held.value if held else None

    def take_over(self, key: str, value: bytes, *, ttl: float = 15.0) -> Revision:
        """As if the store had given the key to someone else."""
        return self._put(key, value, ttl)

    async def create(self, key: str, value: bytes, *, ttl: float) -> Revision:
        await self._travel()
        if self._live(key):
            raise LeaseTaken(key)
        return self._answer(self._put(key, value, ttl))

    async def renew(self, key: str, value: bytes, last: Revision, *, ttl: float) -> Revision:
        await self._travel()
        self._expect(key, value, last)
        self.renewals += 1
        return self._answer(self._put(key, value, ttl))

    async def delete(self, key: str, value: bytes, last: Revision) -> None:
        await self._travel()
        self._expect(key, value, last)
        del self._held[key]

    async def _travel(self) -> None:
        await asyncio.sleep(self.latency)
        if self.partitioned:
            raise Unavailable("partitioned")

    def _answer(self, revision: Revision) -> Revision:
        if self.lost_answers:
            self.lost_answers -= 1
            raise Unavailable("the answer was lost")
        return revision

    def _expect(self, key: str, value: bytes, last: Revision) -> None:
        held = self._live(key)
        if held is None or (held.revision != last and held.value != value):
            raise LeaseLost(key)

    def _put(self, key: str, value: bytes, ttl: float) -> Revision:
        self._last += 1
        expires_at = asyncio.get_running_loop().time() + ttl
        self._held[key] = Held(value, Revision(self._last), expires_at)
        return Revision(self._last)

    def _live(self, key: str) -> Held | None:
        held = self._held.get(key)
        if held and held.expires_at > asyncio.get_running_loop().time():
            return held
        return None
