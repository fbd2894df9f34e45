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

from services.gateway.domain.numbering import Held, Mark
from shared.bus.connection import Connection
from shared.contracts import subjects
from shared.contracts.errors import Unavailable
from shared.runtime.backoff import backoff

_UNANSWERED: Final = (nats.errors.Error, JetStreamError, OSError, TimeoutError)
_TIMEOUT_S: Final = 5.0
_READ_WITHIN_S: Final = 30.0


class EventsMissing(RuntimeError):
    """Events are gone that we have not read, or the stream is another one: what happened is not
    known, so no number can be given to what comes.
    """


class Fact(NamedTuple):
    """`old`: it was in the stream before the mark, as the newest of its subject, and has its
    number already.
    """

    data: bytes
    seq: int
    old: bool


class CaughtUp(NamedTuple):
    """Everything that was in the stream when we came has been given; from here on, it is news."""


@dataclass(slots=True)
class _Cursor:
    """How far we have come."""

    stream: str
    seq: int
    behind_until: int | None = None
    caught_up: bool = False

    def look_at(self, held: Held) -> None:
        """Raises EventsMissing if what follows cannot be had from there."""
        if held.stream != self.stream or not held.first - 1 <= self.seq <= held.last:
            raise EventsMissing(f"{subjects.EVENTS} does not go on behind event {self.seq}")
        if self.behind_until is None:
            self.behind_until = held.last

    def step_to(self, seq: int) -> None:
        if seq != self.seq + 1:
            raise EventsMissing(f"{subjects.EVENTS} has no event {self.seq + 1} any more")
        self.seq = seq

    def catches_up(self) -> bool:
        """Whether this is the moment; true once."""
        if self.caught_up or self.behind_until is None or self.seq < self.behind_until:
            return False
        self.caught_up = True
        return True


async def held(connection: Connection) -> Held:
    """Raises Unavailable when NATS does not answer."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            info = await connection.js.stream_info(subjects.EVENTS)
    except _UNANSWERED as exc:
        raise Unavailable(f"NATS does not answer for {subjects.EVENTS}") from exc
    return Held(stream=str(info.created), first=info.state.first_seq, last=info.state.last_seq)


async def facts(connection: Connection, mark: Mark) -> AsyncGenerator[Fact | CaughtUp]:
    """The newest event of each subject up to `mark`; then every event behind it in stream order,
    for ever, with CaughtUp in between.

    After a reconnect it goes on behind the last one that was given.

    Raises:
        EventsMissing: events were deleted before we could read them, or the stream was.
    """
    standing: list[Fact] | None = None
    cursor = _Cursor(mark.stream, mark.after)
    for delay in backoff(0.05, most=2.0):
        try:
            if standing is None:
                standing = await _standing(connection, mark.after)
                for fact in standing:
                    yield fact
            async with contextlib.aclosing(_until_reconnect(connection, cursor)) as following:
                async for step in following:
                    yield step
        except (*_UNANSWERED, Unavailable):
            await asyncio.sleep(delay)


async def _standing(connection: Connection, until: int) -> list[Fact]:
    """How things stood after the event `until`, as far as newer ones have not replaced it."""
    found: list[Fact] = []
    async with asyncio.timeout(_READ_WITHIN_S):
        info = await connection.js.stream_info(subjects.EVENTS)
        if not info.state.messages or info.state.first_seq > until:
            return found
        config = api.ConsumerConfig(deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT)
        async with _arriving(connection, config) as arrived:
            while (message := await arrived.get()) is not None:
                seq = message.metadata.sequence.stream
                if seq <= until:
                    found.append(Fact(message.data, seq, old=True))
                if seq >= until or not message.metadata.num_pending:
                    return found
    raise OSError("NATS went away while the events were read")


async def _until_reconnect(
    connection: Connection, cursor: _Cursor
) -> AsyncGenerator[Fact | CaughtUp]:
    cursor.look_at(await held(connection))
    if cursor.catches_up():
        yield CaughtUp()
    config = api.ConsumerConfig(
        deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=cursor.seq + 1
    )
    async with _arriving(connection, config) as arrived:
        while (message := await arrived.get()) is not None:
            for step in _step(cursor, message):
                yield step


def _step(cursor: _Cursor, message: Msg) -> Iterator[Fact | CaughtUp]:
    cursor.step_to(message.metadata.sequence.stream)
    yield Fact(message.data, cursor.seq, old=False)
    if cursor.catches_up():
        yield CaughtUp()


@contextlib.asynccontextmanager
async def _arriving(
    connection: Connection, config: api.ConsumerConfig
) -> AsyncGenerator["asyncio.Queue[Msg | None]"]:
    """What the stream sends; None when the connection was lost and is back."""
    arrived: asyncio.Queue[Msg | None] = asyncio.Queue()

    async def arrive(message: Msg) -> None:
        arrived.put_nowait(message)

    with connection.on_reconnect(lambda: arrived.put_nowait(None)):
        async with asyncio.timeout(_TIMEOUT_S):
            subscription = await _subscribe(connection, config, arrive)
        try:
            yield arrived
        finally:
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()


async def _subscribe(
    connection: Connection, config: api.ConsumerConfig, arrive: Callable[[Msg], Awaitable[None]]
) -> JetStreamContext.PushSubscription:
    return await connection.js.subscribe(
        subjects.ALL_EVENTS, stream=subjects.EVENTS, cb=arrive, ordered_consumer=True, config=config
    )
