"""A KV bucket on JetStream: consistent reads, compare-and-set, watches that survive a restart.

Why not nats-py's own KV: at 2.16 its `get` and `create` misread the markers that an expired key
leaves, its `update` takes no TTL, and its watches go deaf for 10 to 20 seconds after a server
restart. A bucket is a stream, so each verb here is one publish or one read.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, NamedTuple

import nats.errors
from nats.aio.msg import Msg
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import APIError

from shared.bus import stored
from shared.bus.connection import Connection
from shared.contracts.errors import Conflict, Unavailable
from shared.runtime.backoff import backoff

EXPECTED_LAST: Final = "Nats-Expected-Last-Subject-Sequence"
#: Of which subjects the last one is expected, where not of that which is written.
_EXPECTED_AMONG: Final = "Nats-Expected-Last-Subject-Sequence-Subject"
#: JetStream's error codes for a compare-and-set that lost.
WRONG_LAST: Final = frozenset({10071, 10164})
_UNANSWERED: Final = (nats.errors.Error, OSError, TimeoutError)
_TIMEOUT_S: Final = 5.0
_LISTED_WITHIN_S: Final = 30.0
#: How long the marker of a removed key is kept for those who watch.
MARKER_TTL_S: Final = 60


class Entry(NamedTuple):
    key: str
    value: bytes
    revision: int


class Removed(NamedTuple):
    """The key was deleted, or its time ran out."""

    key: str
    revision: int


class CaughtUp(NamedTuple):
    """Everything that was in the bucket when the watch (re)opened has been delivered."""


Change = Entry | Removed | CaughtUp


class State(NamedTuple):
    """The live entries of some keys, in the order in which they were last written, and the revision
    of the newest change among those keys, whether it wrote or removed; 0 where there was none.
    """

    entries: list[Entry]
    revision: int


class Bucket:
    """One bucket. Every verb raises Unavailable when NATS does not answer in time; a write may
    then have happened or not.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self.name = name
        self._connection = connection
        self.stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."

    async def get(self, key: str) -> Entry | None:
        """The newest value, read from the stream's leader."""
        entry, _ = await self._newest(key)
        return entry

    async def put(self, key: str, value: bytes) -> int:
        """Write without a condition; the new revision."""
        return await self._publish(key, value, {})

    async def create(self, key: str, value: bytes, *, ttl: float | None = None) -> int:
        """Write only if the key is not there; the new revision.

        `ttl`, in whole seconds, works in a bucket that keeps no history; in others the server
        ignores it.

        Raises:
            Conflict: the key is live.
        """
        entry, last = await self._newest(key)
        if entry is not None:
            raise Conflict(f"{key} is already in {self.name}")
        return await self.update(key, value, last, ttl=ttl)

    async def update(self, key: str, value: bytes, last: int, *, ttl: float | None = None) -> int:
        """Write only if `last` is still the key's revision; the new revision.

        Without `ttl`, in whole seconds, a key that had one becomes permanent: JetStream keeps the
        time to live with the message.

        Raises:
            Conflict: someone else wrote in between.
        """
        headers = {EXPECTED_LAST: str(last)}
        if ttl is not None:
            headers["Nats-TTL"] = f"{round(ttl)}s"
        return await self._publish(key, value, headers)

    async def update_among(self, key: str, value: bytes, pattern: str, last: int) -> int:
        """Write only if no key that matches `pattern`, as `key` must, has changed since revision
        `last`, which is that of a `state`; the new revision.

        Raises:
            Conflict: one of them was written or removed in between.
        """
        headers = {EXPECTED_LAST: str(last), _EXPECTED_AMONG: self._prefix + pattern}
        return await self._publish(key, value, headers)

    async def revise(self, key: str, revised: Callable[[bytes | None], bytes]) -> bytes:
        """Write what `revised` makes of the newest value (None: there is none), and again if
        someone else wrote in between; what is stored now. The same value is not written again.
        """
        while True:
            entry, last = await self._newest(key)
            value = revised(entry.value if entry else None)
            if entry is not None and entry.value == value:
                return value
            try:
                await self.update(key, value, last)
            except Conflict:
                continue
            return value

    async def delete(self, key: str, last: int | None = None) -> None:
        """Remove the key and its history, leaving a marker that expires by itself.

        Raises:
            Conflict: `last` is given and is not the key's revision.
        """
        headers = {"KV-Operation": "PURGE", "Nats-Rollup": "sub", "Nats-TTL": f"{MARKER_TTL_S}s"}
        if last is not None:
            headers[EXPECTED_LAST] = str(last)
        await self._publish(key, b"", headers)

    async def entries(self, pattern: str = ">") -> list[Entry]:
        """The live entries whose keys match, in the order in which they were last written."""
        return (await self.state(pattern)).entries

    async def state(self, pattern: str = ">") -> State:
        """The live entries whose keys match, and what `update_among` needs to know of them."""
        found: dict[str, Entry] = {}
        revision = 0
        for change in await self._read(pattern, api.DeliverPolicy.LAST_PER_SUBJECT):
            found.pop(change.key, None)  # it was written again, and goes to the end
            if isinstance(change, Entry):
                found[change.key] = change
            revision = max(revision, change.revision)
        return State(list(found.values()), revision)

    async def newest(self, pattern: str) -> Entry | Removed | None:
        """What was last written or removed of the keys that match; None if nothing ever was."""
        message = await stored.newest(self._connection, self.stream, self._prefix + pattern)
        if message is None:
            return None
        key = message.subject[len(self._prefix) :]
        if is_marker(message.headers):
            return Removed(key, message.sequence)
        return Entry(key, message.data, message.sequence)

    async def history(self, key: str) -> list[Entry]:
        """The values of a key that the bucket keeps, oldest first."""
        changes = await self._read(key, api.DeliverPolicy.ALL)
        return [change for change in changes if isinstance(change, Entry)]

    async def watch(self, pattern: str = ">") -> AsyncGenerator[Change]:
        """Everything that matches, then CaughtUp, then every change, for ever.

        After a reconnect it all comes again, so a consumer must not mind an old revision. What was
        removed while NATS was away may be missing from the repeat.
        """
        for delay in backoff(0.05, most=2.0):
            try:
                changes = self._watch_until_reconnect(pattern, api.DeliverPolicy.LAST_PER_SUBJECT)
                async with contextlib.aclosing(changes):
                    async for change in changes:
                        yield change
            except _UNANSWERED:
                await asyncio.sleep(delay)

    async def epoch(self) -> str:
        """The identity of the bucket: a bucket that was deleted and made again has another."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                info = await self._connection.js.stream_info(self.stream)
        except _UNANSWERED as exc:
            raise Unavailable(f"NATS does not answer for {self.name}") from exc
        return str(info.created)

    async def _newest(self, key: str) -> tuple[Entry | None, int]:
        """The entry, and the revision that a write in its place has to name: that of the marker
        where the key is gone, and 0 where it never was.
        """
        message = await stored.newest(self._connection, self.stream, self._prefix + key)
        if message is None:
            return None, 0
        if is_marker(message.headers):
            return None, message.sequence
        return Entry(key, message.data, message.sequence), message.sequence

    async def _publish(self, key: str, value: bytes, headers: dict[str, str]) -> int:
        try:
            ack = await self._connection.js.publish(
                self._prefix + key, value, timeout=_TIMEOUT_S, stream=self.stream, headers=headers
            )
        except APIError as exc:
            if exc.err_code in WRONG_LAST:
                raise Conflict(f"{key} in {self.name} was changed by someone else") from exc
            raise Unavailable(f"NATS refuses a write to {self.name}: {exc.description}") from exc
        except _UNANSWERED as exc:
            raise Unavailable(f"NATS does not answer for {self.name}") from exc
        return ack.seq

    async def _read(self, pattern: str, policy: api.DeliverPolicy) -> list[Entry | Removed]:
        """What is in the bucket now."""
        found: list[Entry | Removed] = []
        try:
            async with (
                asyncio.timeout(_LISTED_WITHIN_S),
                contextlib.aclosing(self._watch_until_reconnect(pattern, policy)) as changes,
            ):
                async for change in changes:
                    if isinstance(change, CaughtUp):
                        return found
                    found.append(change)
        except _UNANSWERED as exc:
            raise Unavailable(f"NATS does not answer for {self.name}") from exc
        raise Unavailable(f"NATS went away while {self.name} was read")

    async def _watch_until_reconnect(
        self, pattern: str, policy: api.DeliverPolicy
    ) -> AsyncGenerator[Change]:
        arrived: asyncio.Queue[Msg | None] = asyncio.Queue()

        async def arrive(message: Msg) -> None:
            arrived.put_nowait(message)

        with self._connection.on_reconnect(lambda: arrived.put_nowait(None)):
            async with asyncio.timeout(_TIMEOUT_S):
                subscription = await self._subscribe(pattern, policy, arrive)
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    behind = await _anything_to_deliver(subscription)
                if not behind:
                    yield CaughtUp()
                while (message := await arrived.get()) is not None:
                    yield self._change(message)
                    if behind and message.metadata.num_pending == 0:
                        yield CaughtUp()
                        behind = False
            finally:
                with contextlib.suppress(nats.errors.Error, OSError):
                    await subscription.unsubscribe()

    async def _subscribe(
        self, pattern: str, policy: api.DeliverPolicy, arrive: Callable[[Msg], Awaitable[None]]
    ) -> JetStreamContext.PushSubscription:
        return await self._connection.js.subscribe(
            self._prefix + pattern,
            stream=self.stream,
            cb=arrive,
            ordered_consumer=True,
            deliver_policy=policy,
        )

    def _change(self, message: Msg) -> Entry | Removed:
        key, revision = message.subject[len(self._prefix) :], message.metadata.sequence.stream
        if is_marker(message.headers):
            return Removed(key, revision)
        return Entry(key, message.data, revision)


async def _anything_to_deliver(subscription: JetStreamContext.PushSubscription) -> bool:
    info = await subscription.consumer_info()
    delivered = info.delivered.consumer_seq if info.delivered else 0
    return bool(info.num_pending or delivered)


def is_marker(headers: dict[str, str] | None) -> bool:
    """Whether a message says that its key is gone: deleted, purged, or expired."""
    return headers is not None and ("KV-Operation" in headers or "Nats-Marker-Reason" in headers)
