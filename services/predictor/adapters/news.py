"""What happens elsewhere, told to whoever wants to know."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import nats.errors
from nats.aio.msg import Msg

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.watch import follow, skipping
from shared.contracts import codec, subjects
from shared.contracts.configuration import Configuration, Configured
from shared.contracts.events import CandlesUpdated
from shared.contracts.records import ModelRecord, Universe
from shared.contracts.symbols import Symbol
from shared.contracts.trading import EvolvedParameters

T = TypeVar("T")


async def follow_universe(
    config: Bucket, *listeners: Callable[[Universe], None], caught_up: asyncio.Event
) -> None:
    """Tell each listener the universe and each change of it; never returns."""
    await _follow(config, subjects.UNIVERSE, Universe, listeners, caught_up)


async def follow_configuration(
    config: Bucket, *listeners: Callable[[Configuration], None], caught_up: asyncio.Event
) -> None:
    """Tell each listener the configuration and each change of it; never returns."""
    await _follow(config, subjects.CONFIGURATION, Configured, listeners, caught_up)


async def _follow(
    config: Bucket,
    key: str,
    kind: type[T],
    listeners: Iterable[Callable[[T], None]],
    caught_up: asyncio.Event,
) -> None:
    def tell(changed: T) -> None:
        for hear in listeners:
            hear(changed)

    await follow(config, kind, put=tell, caught_up=caught_up.set, pattern=key)


async def follow_models(
    registry: Bucket,
    *,
    promoted: Callable[[ModelRecord], None],
    removed: Callable[[Symbol], None],
    caught_up: asyncio.Event,
) -> None:
    """Tell every live model and each change of one, again after each reconnect; never returns."""
    await follow(
        registry,
        ModelRecord,
        put=promoted,
        gone=lambda key: removed(Symbol.from_token(key)),
        caught_up=caught_up.set,
    )


async def follow_parameters(
    parameters: Bucket,
    *,
    evolved: Callable[[EvolvedParameters], None],
    removed: Callable[[Symbol], None],
    caught_up: asyncio.Event,
) -> None:
    """Tell the parameters of every symbol that has its own, and each change; never returns."""
    await follow(
        parameters,
        EvolvedParameters,
        put=evolved,
        gone=lambda key: removed(Symbol.from_token(key)),
        caught_up=caught_up.set,
    )


@asynccontextmanager
async def candle_news(connection: Connection) -> AsyncIterator[asyncio.Queue[bytes]]:
    """The events of new candles, for as long as the body runs. Those of a time without NATS are
    missing.
    """
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def arrive(message: Msg) -> None:
        arrived.put_nowait(message.data)

    subscription = await connection.client.subscribe(subjects.CANDLES_UPDATED, cb=arrive)
    try:
        yield arrived
    finally:
        with suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()


async def follow_candles(
    arrived: asyncio.Queue[bytes], *listeners: Callable[[CandlesUpdated], None]
) -> None:
    """Tell every event that arrives to each listener; never returns."""
    while True:
        data = await arrived.get()
        with skipping("an event"):
            updated = codec.decode(data, CandlesUpdated)
            for hear in listeners:
                hear(updated)
