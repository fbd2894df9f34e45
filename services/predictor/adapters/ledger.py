"""The paper ledger in KV `evertrain_signals`, which any number of predictors share."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

from services.predictor.domain.endings import Opened, ending
from shared.bus import stored
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.bus.watch import follow
from shared.contracts import codec, subjects
from shared.contracts.errors import Conflict
from shared.contracts.symbols import Symbol
from shared.contracts.trading import Signal
from shared.runtime.clock import Clock

#: How long a signal is kept after it has ended.
KEPT: Final = timedelta(days=400)


class KvLedger:
    """Every verb raises Unavailable when NATS does not answer, and may be done again."""

    def __init__(self, connection: Connection, publisher: Publisher, *, clock: Clock) -> None:
        self._connection = connection
        self._signals = Bucket(connection, subjects.SIGNALS)
        self._publisher = publisher
        self._clock = clock

    async def opened(self, symbol: Symbol) -> Opened | None:
        """Raises MalformedMessage: something else is stored there."""
        entry = await self._signals.get(subjects.open_signal(symbol))
        return Opened(codec.decode(entry.value, Signal), entry.revision) if entry else None

    async def keep(self, ended: Signal) -> Signal:
        key = subjects.closed_signal(ended.id)
        with suppress(Conflict):
            await self._signals.create(key, codec.encode(ended), ttl=KEPT.total_seconds())
            return ended
        entry = await self._signals.get(key)
        return codec.decode(entry.value, Signal) if entry else ended

    async def tell(self, ended: Signal) -> None:
        """The next signal of the symbol is opened behind this, so that if it was told already, it
        is the last that was, however long ago.
        """
        fact = ending(ended, self._clock())
        last = await stored.newest(self._connection, subjects.EVENTS, subjects.event(fact))
        if last is None or codec.decode_event(last.data).id != fact.id:
            await self._publisher.emit(fact)

    async def release(self, opened: Opened) -> None:
        key = subjects.open_signal(opened.signal.symbol)
        with suppress(Conflict):
            await self._signals.delete(key, opened.revision)


async def follow_open_signals(
    signals: Bucket,
    *,
    opened: Callable[[Signal], None],
    gone: Callable[[Symbol], None],
    caught_up: asyncio.Event,
) -> None:
    """Tell every open signal, each new one, and each that is open no more; the open ones again
    after each reconnect. Never returns.
    """
    await follow(
        signals,
        Signal,
        put=opened,
        gone=lambda key: gone(Symbol.from_token(key.removeprefix("open."))),
        caught_up=caught_up.set,
        pattern=subjects.OPEN_SIGNALS,
    )
