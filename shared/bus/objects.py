"""Immutable artifacts in the Object Store, named by the SHA-256 of their bytes."""

import asyncio
import base64
import hashlib
from typing import Final

import nats.errors
import orjson
from nats.js.api import ObjectMeta, ObjectMetaOptions
from nats.js.errors import Error as JetStreamError
from nats.js.object_store import ObjectStore

from shared.bus import stored
from shared.bus.connection import Connection
from shared.contracts.errors import ArtifactRefused, NotFound, Unavailable
from shared.contracts.subjects import ARTIFACTS

_STREAM: Final = f"OBJ_{ARTIFACTS}"
#: Below the default of a NATS server's largest message, 1 MiB.
_CHUNK: Final = 512 << 10
_TIMEOUT_S: Final = 30.0


class Artifacts:
    """Put and get by content. Names are never reused, so a reader cannot see half a write."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._store = ObjectStore(ARTIFACTS, _STREAM, connection.js)

    async def put(self, data: bytes) -> str:
        """Store `data`, once; its SHA-256 in hex is its name.

        Raises:
            Unavailable: NATS did not answer; storing again is safe.
        """
        name = hashlib.sha256(data).hexdigest()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                if await self._info(name) is None:
                    options = ObjectMetaOptions(max_chunk_size=_CHUNK)
                    await self._store.put(name, data, ObjectMeta(name=name, options=options))
        except (nats.errors.Error, JetStreamError, OSError) as exc:
            raise Unavailable("NATS did not take the artifact") from exc
        return name

    async def get(self, name: str) -> bytes:
        """The bytes whose SHA-256 is `name`.

        Why not the library's `get`: at nats-py 2.16 it is quadratic in the object's size, it never
        returns when the object changes under it, and a consumer, which it makes for each object,
        costs the server more than reading the few chunks that an artifact has.

        Raises:
            NotFound: there is no such artifact.
            ArtifactRefused: what is stored does not have that hash.
            Unavailable: NATS did not answer in time.
        """
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                info = await self._info(name)
                if info is None:
                    raise NotFound(f"there is no artifact {name}")
                data = await self._chunks(str(info["nuid"]), int(info["size"]))
        except TimeoutError as exc:
            raise Unavailable(f"NATS did not deliver artifact {name}") from exc
        if hashlib.sha256(data).hexdigest() != name:
            raise ArtifactRefused(f"artifact {name} is damaged: its content has another hash")
        return data

    async def _info(self, name: str) -> dict[str, str | int] | None:
        encoded = base64.urlsafe_b64encode(name.encode()).decode()
        message = await stored.newest(self._connection, _STREAM, f"$O.{ARTIFACTS}.M.{encoded}")
        info: dict[str, str | int] = orjson.loads(message.data) if message else {}
        return None if not info or info.get("deleted") else info

    async def _chunks(self, nuid: str, size: int) -> bytes:
        """As much of the object as is there; a surplus chunk is read no further than the first."""
        data, sequence = bytearray(), 0
        while len(data) < size:
            chunk = await stored.following(
                self._connection, _STREAM, f"$O.{ARTIFACTS}.C.{nuid}", sequence
            )
            if chunk is None:
                break
            data += chunk.data
            sequence = chunk.sequence
        return bytes(data)
