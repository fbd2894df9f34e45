"""The live models, mirrored in memory from KV `evertrain_models`."""

import asyncio

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.watch import follow
from shared.contracts import subjects
from shared.contracts.records import ModelRecord
from shared.contracts.symbols import Symbol


class RegistryMirror:
    def __init__(self, connection: Connection) -> None:
        self._bucket = Bucket(connection, subjects.MODELS)
        self.models: dict[Symbol, ModelRecord] = {}
        #: Set once everything that was in the registry at the start has been seen.
        self.complete = asyncio.Event()

    async def follow(self) -> None:
        """Keep the mirror up to date. Cancelled when it is no longer needed."""
        await follow(
            self._bucket,
            ModelRecord,
            put=self._put,
            gone=lambda key: self.models.pop(Symbol.from_token(key), None),
            caught_up=self.complete.set,
        )

    def _put(self, model: ModelRecord) -> None:
        self.models[model.symbol] = model
