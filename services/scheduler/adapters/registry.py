"""The live models, mirrored in memory from KV `evertrain_models`."""

import asyncio
from contextlib import aclosing

from shared.bus.connection import Connection
from shared.bus.kv import Bucket, CaughtUp, Entry, Removed
from shared.contracts import codec, subjects
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
        async with aclosing(self._bucket.watch()) as changes:
            async for change in changes:
                match change:
                    case Entry(_, value, _):
                        model = codec.decode(value, ModelRecord)
                        self.models[model.symbol] = model
                    case Removed(key, _):
                        self.models.pop(Symbol.from_token(key), None)
                    case CaughtUp():
                        self.complete.set()
