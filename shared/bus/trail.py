"""A stream, read from a place onwards: for whoever keeps a copy of it and knows how far that goes.

Why not a watch: it begins with everything there is, each time. A copy that has most of it already
needs the rest only, in order, and in batches that it can take in one transaction each.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

import nats.errors
from nats.aio.msg import Msg
from nats.js import api
from nats.js.client import JetStreamContext

from shared.bus.connection import Connection
from shared.bus.kv import is_marker
from shared.runtime.backoff import backoff

#: Pulled, so that a reader that is slower than the network holds no more than this in memory.
_MOST: Final = 500
_FETCH_S: Final = 2.0
_TIMEOUT_S: Final = 5.0
#: The server forgets a reader that asked for nothing for so long.
_FORGOTTEN_AFTER_S: Final = 30.0
_UNANSWERED: Final = (nats.errors.Error, OSError, TimeoutError)


class Place(NamedTuple):
    """How far one has read. `epoch` tells a stream from another that came in its place."""

    epoch: str
    sequence: int


class Item(NamedTuple):
    """One message. `removed`: it says that the key which its subject names is gone."""

    subject: str
    data: bytes
    sequence: int
    removed: bool


class Batch(NamedTuple):
    """What came next, oldest first, and the place behind it. With `anew` it is the beginning of
    another stream than before: what one has of that is void. `behind` is how much is left to read.
    """

    items: tuple[Item, ...]
    place: Place
    anew: bool
    behind: int


async def trail(connection: Connection, stream: str, after: Place | None) -> AsyncGenerator[Batch]:
    """Everything behind the place, then what comes, for ever; each message once, in order.

    The first batch may be empty: it says whether the stream is still the same, and that there is
    nothing to read.
    """
    place = after
    for delay in backoff(0.05, most=2.0):
        with contextlib.suppress(*_UNANSWERED, _Gap):
            async with contextlib.aclosing(_until_reconnect(connection, stream, place)) as batches:
                async for batch in batches:
                    place = batch.place
                    yield batch
        await asyncio.sleep(delay)


class _Gap(Exception):
    """The server has given out something that did not arrive here."""


async def _until_reconnect(
    connection: Connection, stream: str, after: Place | None
) -> AsyncGenerator[Batch]:
    lost = asyncio.Event()
    with connection.on_reconnect(lost.set):
        async with asyncio.timeout(_TIMEOUT_S):
            place, anew = await _begin(connection, stream, after)
            consumer = await connection.js.add_consumer(stream, _consumer(place))
            pull = await connection.js.pull_subscribe_bind(stream=stream, consumer=consumer.name)
        try:
            arrived, behind = 0, consumer.num_pending or 0
            if anew or not behind:
                yield Batch((), place, anew, behind)
            while not lost.is_set():
                messages = await _fetch(pull, min(behind, _MOST) or 1)
                arrived += len(messages)
                if not messages:
                    await _nothing_is_missing(pull, arrived)
                    continue
                newest = messages[-1].metadata
                if newest.sequence.consumer != arrived:
                    raise _Gap
                place = Place(place.epoch, newest.sequence.stream)
                behind = newest.num_pending
                items = tuple(_item(message) for message in messages)
                yield Batch(items, place, anew=False, behind=behind)
        finally:
            with contextlib.suppress(nats.errors.Error, OSError):
                await pull.unsubscribe()


async def _fetch(pull: JetStreamContext.PullSubscription, most: int) -> list[Msg]:
    """No more than there are is asked for, or else it would wait for the rest."""
    try:
        return await pull.fetch(most, timeout=_FETCH_S)
    except nats.errors.TimeoutError:
        return []


async def _nothing_is_missing(pull: JetStreamContext.PullSubscription, arrived: int) -> None:
    async with asyncio.timeout(_TIMEOUT_S):
        info = await pull.consumer_info()
    if info.delivered is not None and info.delivered.consumer_seq != arrived:
        raise _Gap


async def _begin(connection: Connection, stream: str, after: Place | None) -> tuple[Place, bool]:
    """Where to go on, and whether that is the beginning of another stream."""
    info = await connection.js.stream_info(stream)
    epoch = str(info.created)
    if after is None or after.epoch != epoch or after.sequence > info.state.last_seq:
        return Place(epoch, 0), True
    return after, False


def _consumer(begin: Place) -> api.ConsumerConfig:
    return api.ConsumerConfig(
        deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=begin.sequence + 1,
        ack_policy=api.AckPolicy.NONE,
        inactive_threshold=_FORGOTTEN_AFTER_S,
        mem_storage=True,
        num_replicas=1,
    )


def _item(message: Msg) -> Item:
    return Item(
        message.subject,
        message.data,
        message.metadata.sequence.stream,
        is_marker(message.headers),
    )
