"""What people decided, as far as this scheduler has heard."""

from dataclasses import dataclass

from services.scheduler.domain.candidates import Policy
from services.scheduler.domain.configuration import policy
from shared.contracts.configuration import Configured
from shared.contracts.errors import UnknownSymbol
from shared.contracts.records import Universe
from shared.contracts.symbols import Symbol


@dataclass(slots=True)
class Decisions:
    """The newest of each. They are replaced while everything runs, so look again each time."""

    universe: Universe
    configured: Configured

    @property
    def policy(self) -> Policy:
        return policy(self.configured)

    @property
    def automated(self) -> tuple[Symbol, ...]:
        """What the continuous cycle looks after."""
        limit = self.configured.symbols
        if limit is None:
            return self.universe.symbols
        return tuple(symbol for symbol in self.universe.symbols if symbol in set(limit))

    def take_universe(self, universe: Universe) -> bool:
        """Whether it is news: a watch that starts again repeats what is known."""
        if universe.revision <= self.universe.revision:
            return False
        self.universe = universe
        return True

    def take_configured(self, configured: Configured) -> bool:
        """Whether it is news."""
        if configured.revision <= self.configured.revision:
            return False
        self.configured = configured
        return True

    def check(self, symbols: tuple[Symbol, ...] | None) -> None:
        """Raises UnknownSymbol: one of them is not in the universe."""
        everyone = frozenset(self.universe.symbols)
        unknown = [symbol for symbol in symbols or () if symbol not in everyone]
        if unknown:
            raise UnknownSymbol(f"not in the universe: {', '.join(unknown[:10])}")
