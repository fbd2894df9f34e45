"""The event stream, followed without a gap and without a double."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import nats.errors
from nats.aio.msg import Msg
from nats.js import api
from nats.js.client import JetStreamContext
from nats.js.errors import Error as JetStreamError

from shared.bus.connection import Connection
from shared.contracts import subjects
from shared.runtime.backoff import backoff

_TIMEOUT_S: Final = 5.0


class Fact(NamedTuple):
    """`old`: it was in the stream before we began to follow it, as the newest of its subject."""

    data: bytes
    old: bool


class CaughtUp(NamedTuple):
    """From here on, facts are news."""


@dataclass(slots=True)
class _Cursor:
    """How far we have come. `created` tells one stream of this name from another."""

    created: object = None
    seq: int = 0
    old_until: int = 0
    caught_up: bool = False

    @property
    def resuming(self) -> bool:
        return self.caught_up or self.seq > 0

    def look_at(self, info: api.StreamInfo) -> None:
        """Raises RuntimeError if this cannot be the stream that we were reading."""
        if not self.resuming:
            self.created = info.created
            self.old_until = info.state.last_seq
            if not info.state.messages:
                self.seq = info.state.last_seq
        elif info.created != self.created or info.state.last_seq < self.seq:
            raise RuntimeError(f"the stream {subjects.EVENTS} was replaced while NATS was away")


async def facts(connection: Connection) -> AsyncGenerator[Fact | CaughtUp]:
    """The newest event of each subject in stream order, CaughtUp, then every event, for ever.

    After a reconnect it goes on behind the last one that was given.

    Raises:
        RuntimeError: the stream was replaced while we were away, so what happened is not known.
    """
    cursor = _Cursor()
    for delay in backoff(0.05, most=2.0):
        try:
            async with contextlib.aclosing(_until_reconnect(connection, cursor)) as following:
                async for fact in following:
                    yield fact
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError):
            await asyncio.sleep(delay)


async def _until_reconnect(
    connection: Connection, cursor: _Cursor
) -> AsyncGenerator[Fact | CaughtUp]:
    arrived: asyncio.Queue[Msg | None] = asyncio.Queue()

    async def arrive(message: Msg) -> None:
        arrived.put_nowait(message)

    with connection.on_reconnect(lambda: arrived.put_nowait(None)):
        async with asyncio.timeout(_TIMEOUT_S):
            info = await connection.js.stream_info(subjects.EVENTS)
            cursor.look_at(info)
            subscription = await _subscribe(connection, cursor, arrive)
        try:
            if not cursor.caught_up and not info.state.messages:
                cursor.caught_up = True
                yield CaughtUp()
            while (message := await arrived.get()) is not None:
                for step in _step(cursor, message):
                    yield step
        finally:
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()


def _step(cursor: _Cursor, message: Msg) -> Iterator[Fact | CaughtUp]:
    metadata = message.metadata
    cursor.seq = metadata.sequence.stream
    old = cursor.seq <= cursor.old_until
    if not old and not cursor.caught_up:
        cursor.caught_up = True
        yield CaughtUp()
    yield Fact(message.data, old)
    if not cursor.caught_up and metadata.num_pending == 0:
        cursor.caught_up = True
        yield CaughtUp()


async def _subscribe(
    connection: Connection, cursor: _Cursor, arrive: Callable[[Msg], Awaitable[None]]
) -> JetStreamContext.PushSubscription:
    config = api.ConsumerConfig(deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT)
    if cursor.resuming:
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=cursor.seq + 1
        )
    return await connection.js.subscribe(
        subjects.ALL_EVENTS, stream=subjects.EVENTS, cb=arrive, ordered_consumer=True, config=config
    )
