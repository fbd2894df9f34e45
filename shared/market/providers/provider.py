"""Where candles come from."""

from typing import Final, Protocol

from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle

#: The most candles that one call gives; whoever wants more asks again behind the last.
MOST_PER_CALL: Final = 5000


class Provider(Protocol):
    """A market that can be asked. What it gives is not trusted: it still goes through `check`."""

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, after_ms: int | None
    ) -> list[Candle]:
        """Closed candles that open after `after_ms`, oldest first, at most `MOST_PER_CALL`; with
        None, from the beginning of what the provider has, or as far back as it was opened for.
        Empty when there is nothing new.

        Raises:
            UnknownSymbol: the provider does not have the symbol.
            InvalidSetting: it does not have the timeframe.
            Unavailable: it does not answer, or not with candles.
        """
        ...

    def now_ms(self) -> int:
        """The market's clock, in ms since the epoch: a candle is closed when this has passed it."""
        ...

    def symbols(self) -> tuple[Symbol, ...]:
        """What it offers by itself, in order; empty where it has more than anyone would train."""
        ...
