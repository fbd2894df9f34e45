"""Which symbols are due, and when: each once, however often it was asked for."""

import math
from collections import OrderedDict

from shared.contracts.symbols import Symbol


class Agenda:
    """Symbols in the order in which they became due. A symbol that is in hand can become due again,
    and is then taken once more afterwards. Times are ticks in seconds.
    """

    def __init__(self) -> None:
        self._ready: OrderedDict[Symbol, None] = OrderedDict()
        self._later: dict[Symbol, float] = {}
        #: Nothing in `_later` is due before this tick.
        self._soonest = math.inf
        self._in_hand: set[Symbol] = set()

    def add(self, symbol: Symbol, *, not_before: float = 0.0) -> None:
        """Make the symbol due; the earliest time that was asked for counts."""
        if symbol not in self._ready:
            self._later[symbol] = min(not_before, self._later.get(symbol, not_before))
            self._soonest = min(self._soonest, self._later[symbol])

    def hurry(self, symbol: Symbol) -> None:
        """Someone waits for this symbol: now, and before the others, unless it is in hand."""
        if symbol not in self._in_hand:
            self._later.pop(symbol, None)
            self._ready[symbol] = None
            self._ready.move_to_end(symbol, last=False)

    def discard(self, symbol: Symbol) -> None:
        self._ready.pop(symbol, None)
        self._later.pop(symbol, None)

    def take(self, tick: float) -> Symbol | None:
        """The next symbol that is due, which is then in hand until `done`."""
        self._advance(tick)
        for symbol in self._ready:
            if symbol not in self._in_hand:
                del self._ready[symbol]
                self._in_hand.add(symbol)
                return symbol
        return None

    def done(self, symbol: Symbol) -> None:
        self._in_hand.discard(symbol)

    def next_in(self, tick: float) -> float | None:
        """Seconds until `take` may give something, after it gave nothing; None if only news or
        `done` can change that.
        """
        return None if math.isinf(self._soonest) else max(self._soonest - tick, 0.0)

    def _advance(self, tick: float) -> None:
        if tick < self._soonest:
            return
        for symbol in [symbol for symbol, at in self._later.items() if at <= tick]:
            del self._later[symbol]
            self._ready[symbol] = None
        self._soonest = min(self._later.values(), default=math.inf)
