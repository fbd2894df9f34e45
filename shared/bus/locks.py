"""Leases on JetStream KV: the server's clock expires them, its sequence numbers fence them."""

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.contracts import codec
from shared.contracts.errors import Conflict, LeaseLost, LeaseTaken, Unavailable
from shared.contracts.records import LockHolder, SymbolHolder
from shared.contracts.subjects import LOCKS, TRAINING_LOCK, symbol_lock
from shared.contracts.symbols import Symbol
from shared.runtime.lease import Revision


class TrainingLock:
    """The training lock as everyone sees it who does not hold it."""

    def __init__(self, connection: Connection) -> None:
        self._locks = Bucket(connection, LOCKS)

    async def holder(self) -> LockHolder | None:
        """May raise Unavailable."""
        entry = await self._locks.get(TRAINING_LOCK)
        return codec.decode(entry.value, LockHolder) if entry else None


class SymbolLocks:
    """The locks of the symbols as everyone sees them who does not hold them."""

    def __init__(self, connection: Connection) -> None:
        self._locks = Bucket(connection, LOCKS)

    async def symbol_holder(self, symbol: Symbol) -> SymbolHolder | None:
        """May raise Unavailable."""
        entry = await self._locks.get(symbol_lock(symbol))
        return codec.decode(entry.value, SymbolHolder) if entry else None


class JetStreamLeases:
    """A LeaseStore on the bucket `evertrain_locks`. Time to live is counted by the server."""

    def __init__(self, bucket: Bucket, epoch: str) -> None:
        self._bucket = bucket
        self.epoch = epoch

    @classmethod
    async def open(cls, connection: Connection) -> "JetStreamLeases":
        bucket = Bucket(connection, LOCKS)
        return cls(bucket, await bucket.epoch())

    async def create(self, key: str, value: bytes, *, ttl: float) -> Revision:
        try:
            return Revision(await self._bucket.create(key, value, ttl=ttl))
        except Conflict as exc:
            raise LeaseTaken(f"{key} is held by someone else") from exc
        except Unavailable:
            return await self._adopt(key, value)

    async def renew(self, key: str, value: bytes, last: Revision, *, ttl: float) -> Revision:
        try:
            return Revision(await self._bucket.update(key, value, last, ttl=ttl))
        except Conflict:
            # Not just adopted: its time to live began when it was stored, not when we asked now.
            return await self._renew_again(key, value, ttl=ttl)

    async def delete(self, key: str, value: bytes, last: Revision) -> None:
        try:
            await self._bucket.delete(key, last)
        except Conflict:
            await self._delete_again(key, value)

    async def _renew_again(self, key: str, value: bytes, *, ttl: float) -> Revision:
        last = await self._own(key, value)
        try:
            return Revision(await self._bucket.update(key, value, last, ttl=ttl))
        except Conflict as exc:
            raise _lost(key) from exc

    async def _delete_again(self, key: str, value: bytes) -> None:
        last = await self._own(key, value)
        try:
            await self._bucket.delete(key, last)
        except Conflict as exc:
            raise _lost(key) from exc

    async def _own(self, key: str, value: bytes) -> Revision:
        """The revision of our own write whose answer was lost, if that is what came in between."""
        entry = await self._bucket.get(key)
        if entry is None or entry.value != value:
            raise _lost(key)
        return Revision(entry.revision)

    async def _adopt(self, key: str, value: bytes) -> Revision:
        """The lease, if the write whose answer never came has happened after all."""
        try:
            return await self._own(key, value)
        except LeaseLost as exc:
            raise Unavailable(f"NATS did not answer for {key}") from exc


def _lost(key: str) -> LeaseLost:
    return LeaseLost(f"{key} was taken by someone else")
