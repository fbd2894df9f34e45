"""What the live models say of the slopes of their calibrations, from KV `evertrain_models`."""

from dataclasses import dataclass

from services.trainer.domain.slopes import Slopes, borne_out, expected_beside
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.watch import follow
from shared.contracts import subjects
from shared.contracts.records import ModelRecord
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon, Timeframe


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peer:
    timeframe: Timeframe
    slopes: Slopes


class LiveSlopes:
    """Kept in memory, a few numbers per model. Before it has caught up it knows fewer."""

    def __init__(self, connection: Connection) -> None:
        self._bucket = Bucket(connection, subjects.MODELS)
        self._peers: dict[Symbol, _Peer] = {}

    def beside(self, symbol: Symbol, timeframe: Timeframe, horizons: tuple[Horizon, ...]) -> Slopes:
        others = [
            peer.slopes
            for other, peer in self._peers.items()
            if other != symbol and peer.timeframe is timeframe
        ]
        return expected_beside(others, horizons)

    async def follow(self) -> None:
        """Keep up with the registry. Cancelled when it is no longer needed."""
        await follow(
            self._bucket,
            ModelRecord,
            put=self._put,
            gone=lambda key: self._peers.pop(Symbol.from_token(key), None),
        )

    def _put(self, model: ModelRecord) -> None:
        slopes = borne_out(model.scores)
        self._peers[model.symbol] = _Peer(timeframe=model.timeframe, slopes=slopes)
