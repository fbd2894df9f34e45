"""Open signals in KV `evertrain_signals`, which any number of predictors share.

A cap over all of them is a condition on all of them: a signal is opened only if, since they were
read, none has been opened or has ended. The server compares, so no lock is needed, and a predictor
that was frozen in between changes nothing when it wakes up.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from services.predictor.domain.openings import Openings
from shared.bus.kv import Entry, Removed, State
from shared.bus.watch import skipping
from shared.contracts import codec, subjects
from shared.contracts.symbols import Symbol
from shared.contracts.trading import Signal


class Signals(Protocol):
    """The verbs of a bucket that are needed here. Each may raise Unavailable."""

    async def state(self, pattern: str) -> State: ...

    async def update_among(self, key: str, value: bytes, pattern: str, last: int) -> int: ...

    async def entries(self, pattern: str) -> list[Entry]: ...

    async def newest(self, pattern: str) -> Entry | Removed | None: ...


class KvOpenings:
    """Every verb raises Unavailable when NATS does not answer, and may be done again."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    async def now(self) -> Openings:
        """What nobody can read is no signal, and is written over."""
        state = await self._signals.state(subjects.OPEN_SIGNALS)
        return Openings.of(_readable(state.entries), state.revision)

    async def open(self, signal: Signal, openings: Openings) -> Openings:
        """Open one more, if these are still the newest; what is open then.

        Raises:
            Conflict: one was opened, or has ended, in between.
        """
        revision = await self._signals.update_among(
            subjects.open_signal(signal.symbol),
            codec.encode(signal),
            subjects.OPEN_SIGNALS,
            openings.revision,
        )
        return openings.beside(signal, revision)

    async def ended(self, symbol: Symbol) -> Signal | None:
        """The last signal of the symbol that has ended, as far back as they are kept."""
        pattern = subjects.closed_signals(symbol)
        newest = await self._signals.newest(pattern)
        if newest is None:
            return None
        # Where the last that happened is that the time of one ran out, there may be younger ones.
        entries = [newest] if isinstance(newest, Entry) else await self._signals.entries(pattern)
        return max(_readable(entries), key=lambda signal: signal.candle_at, default=None)


def _readable(entries: Iterable[Entry]) -> Iterator[Signal]:
    for entry in entries:
        with skipping(entry.key):
            yield codec.decode(entry.value, Signal)
