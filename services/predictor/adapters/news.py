"""What happens elsewhere, told to whoever wants to know."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import TypeVar

import nats.errors
from nats.aio.msg import Msg

from shared.bus.connection import Connection
from shared.bus.kv import Bucket, CaughtUp, Entry, Removed
from shared.contracts import codec, subjects
from shared.contracts.configuration import Configuration, Configured
from shared.contracts.errors import InvalidSymbol, MalformedMessage
from shared.contracts.events import CandlesUpdated
from shared.contracts.records import ModelRecord, Universe
from shared.contracts.symbols import Symbol
from shared.contracts.trading import EvolvedParameters

log = logging.getLogger(__name__)

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
    async with aclosing(config.watch(key)) as changes:
        async for change in changes:
            match change:
                case Entry(_, value):
                    with skipping(key):
                        changed = codec.decode(value, kind)
                        for hear in listeners:
                            hear(changed)
                case Removed():
                    pass  # the last known one goes on
                case CaughtUp():
                    caught_up.set()


async def follow_models(
    registry: Bucket,
    *,
    promoted: Callable[[ModelRecord], None],
    removed: Callable[[Symbol], None],
    caught_up: asyncio.Event,
) -> None:
    """Tell every live model and each change of one, again after each reconnect; never returns."""
    async with aclosing(registry.watch()) as changes:
        async for change in changes:
            match change:
                case Entry(key, value):
                    with skipping(key):
                        promoted(codec.decode(value, ModelRecord))
                case Removed(key):
                    with skipping(key):
                        removed(Symbol.from_token(key))
                case CaughtUp():
                    caught_up.set()


async def follow_parameters(
    parameters: Bucket,
    *,
    evolved: Callable[[EvolvedParameters], None],
    removed: Callable[[Symbol], None],
    caught_up: asyncio.Event,
) -> None:
    """Tell the parameters of every symbol that has its own, and each change; never returns."""
    async with aclosing(parameters.watch()) as changes:
        async for change in changes:
            match change:
                case Entry(key, value):
                    with skipping(key):
                        evolved(codec.decode(value, EvolvedParameters))
                case Removed(key):
                    with skipping(key):
                        removed(Symbol.from_token(key))
                case CaughtUp():
                    caught_up.set()


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


@contextmanager
def skipping(what: str) -> Iterator[None]:
    """Something that cannot be read must not keep the rest from being heard."""
    try:
        yield
    except (MalformedMessage, InvalidSymbol) as exc:
        log.warning("skipped what cannot be read", extra={"what": what, "reason": str(exc)})
