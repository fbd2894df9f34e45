"""Scorecards in KV `evertrain_quality`: predictors keep them, everyone may read them."""

from collections.abc import Callable

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.contracts import codec, subjects
from shared.contracts.quality import Scorecard
from shared.contracts.symbols import Symbol


class Scorecards:
    """Every verb raises Unavailable when NATS does not answer in time."""

    def __init__(self, connection: Connection) -> None:
        self._bucket = Bucket(connection, subjects.QUALITY)

    async def find(self, symbol: Symbol) -> Scorecard:
        """What is known of the predictions of this symbol: an empty one where nothing is.

        Raises:
            MalformedMessage: something else is stored there.
        """
        entry = await self._bucket.get(subjects.served(symbol))
        return _read(entry.value if entry else None, symbol)

    async def revise(self, symbol: Symbol, revised: Callable[[Scorecard], Scorecard]) -> None:
        """Write what is made of the newest one, by compare-and-set."""
        await self._bucket.revise(
            subjects.served(symbol), lambda stored: codec.encode(revised(_read(stored, symbol)))
        )


def _read(stored: bytes | None, symbol: Symbol) -> Scorecard:
    return codec.decode(stored, Scorecard) if stored else Scorecard(symbol=symbol)
