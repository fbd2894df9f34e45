"""Leases on JetStream KV: the server's clock expires them, its sequence numbers fence them."""

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.contracts.errors import Conflict, LeaseLost, LeaseTaken, Unavailable
from shared.contracts.subjects import LOCKS
from shared.runtime.lease import Revision


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
        except Conflict as exc:
            # Perhaps it was our own renewal, whose answer was lost.
            entry = await self._bucket.get(key)
            if entry is not None and entry.value == value:
                return Revision(entry.revision)
            raise LeaseLost(f"{key} was taken by someone else") from exc

    async def delete(self, key: str, last: Revision) -> None:
        try:
            await self._bucket.delete(key, last)
        except Conflict as exc:
            raise LeaseLost(f"{key} was taken by someone else") from exc

    async def _adopt(self, key: str, value: bytes) -> Revision:
        """The lease, if the write whose answer never came has happened after all."""
        entry = await self._bucket.get(key)
        if entry is not None and entry.value == value:
            return Revision(entry.revision)
        raise Unavailable(f"NATS did not answer for {key}")
