"""What is open on paper, as of one moment, and what that leaves room for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from shared.contracts.symbols import Symbol
from shared.contracts.trading import Signal
from shared.trading.signals import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Openings:
    """Every open signal, as of `revision`: as long as that is the newest, so is this."""

    revision: int = 0
    signals: Mapping[Symbol, Signal] = field(default_factory=lambda: MappingProxyType({}))
    gross_cents: int = 0

    @classmethod
    def of(cls, signals: Iterable[Signal], revision: int) -> "Openings":
        by_symbol = {signal.symbol: signal for signal in signals}
        gross_cents = sum(signal.notional_cents for signal in by_symbol.values())
        return cls(revision=revision, signals=by_symbol, gross_cents=gross_cents)

    def beside(self, signal: Signal, revision: int) -> "Openings":
        """These and one more."""
        return Openings.of((*self.signals.values(), signal), revision)

    def standing(self, symbol: Symbol, ended: Signal | None) -> Standing:
        """`ended` is the last signal of the symbol that has ended."""
        return Standing(open=self.signals.get(symbol), ended=ended, gross_cents=self.gross_cents)
