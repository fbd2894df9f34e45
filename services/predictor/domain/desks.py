"""The desks of all symbols, and which of them the universe covers."""

from collections.abc import Iterable, Iterator

from services.predictor.domain.desk import Desk
from shared.contracts.errors import NotReady, UnknownSymbol
from shared.contracts.symbols import Symbol


class Desks:
    """A symbol has a desk as soon as anything is heard of it."""

    def __init__(self) -> None:
        self._universe: frozenset[Symbol] | None = None
        self._desks: dict[Symbol, Desk] = {}

    def cover(self, symbols: Iterable[Symbol]) -> frozenset[Symbol]:
        """These make up the universe from now on; those that did so before."""
        before, self._universe = self._universe, frozenset(symbols)
        return before or frozenset()

    def of(self, symbol: Symbol) -> Desk:
        return self._desks.setdefault(symbol, Desk(symbol=symbol))

    def asked(self, symbol: Symbol) -> Desk:
        """The desk that answers questions about this symbol.

        Raises:
            NotReady: it is not known yet which symbols there are.
            UnknownSymbol: it is not in the universe.
        """
        if self._universe is None:
            raise NotReady("which symbols there are is not known yet: is the scheduler running?")
        if symbol not in self._universe:
            raise UnknownSymbol(f"{symbol} is not in the universe")
        return self.of(symbol)

    def all(self) -> Iterator[Desk]:
        return iter(self._desks.values())

    def covered(self) -> Iterator[Desk]:
        return (desk for desk in self.all() if self.covers(desk.symbol))

    def covers(self, symbol: Symbol) -> bool:
        return self._universe is not None and symbol in self._universe

    def answering(self) -> Iterator[Desk]:
        """Those that have something to answer with."""
        return (desk for desk in self.covered() if desk.live and desk.entry)
