"""The trainers, which measure drift, and the newest report in KV `evertrain_quality`."""

from typing import Final

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.rpc import ask
from shared.contracts import codec, subjects
from shared.contracts.quality import DriftMeasurement, DriftReport
from shared.contracts.requests import MeasureDriftRequest
from shared.contracts.symbols import Symbol

#: Some may be measured before, each for less than a second on a machine with nothing else to do.
_TIMEOUT_S: Final = 60.0


class Trainers:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def measure(self, symbol: Symbol) -> DriftMeasurement:
        """Raises Unavailable: no trainer answers. AppError: what the trainer says."""
        question = MeasureDriftRequest(symbol=symbol)
        subject = "evertrain.trainer.drift"
        return await ask(self._connection, subject, question, DriftMeasurement, timeout=_TIMEOUT_S)


class Reports:
    """Every verb may raise Unavailable."""

    def __init__(self, connection: Connection) -> None:
        self._bucket = Bucket(connection, subjects.QUALITY)

    async def newest(self) -> DriftReport | None:
        entry = await self._bucket.get(subjects.DRIFT)
        return codec.decode(entry.value, DriftReport) if entry else None

    async def keep(self, report: DriftReport) -> None:
        await self._bucket.put(subjects.DRIFT, codec.encode(report))
