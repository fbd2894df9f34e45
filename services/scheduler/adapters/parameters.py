"""The signal parameters that trainers have found, from KV `evertrain_parameters`."""

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.contracts import codec, subjects
from shared.contracts.trading import EvolvedParameters


class StoredParameters:
    def __init__(self, connection: Connection) -> None:
        self._bucket = Bucket(connection, subjects.PARAMETERS)

    async def evolved(self) -> list[EvolvedParameters]:
        """Those of every symbol that was ever searched for, by its name."""
        entries = await self._bucket.entries()
        found = [codec.decode(entry.value, EvolvedParameters) for entry in entries]
        return sorted(found, key=lambda each: each.symbol)
