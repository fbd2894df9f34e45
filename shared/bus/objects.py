"""Immutable artifacts in the Object Store, named by the SHA-256 of their bytes."""

import asyncio
import base64
import hashlib
from typing import Final

import nats.errors
import orjson
from nats.js.api import ObjectMeta, ObjectMetaOptions
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from shared.bus.connection import Connection
from shared.contracts.errors import ArtifactRefused, NotFound, Unavailable
from shared.contracts.subjects import ARTIFACTS

_STREAM: Final = f"OBJ_{ARTIFACTS}"
#: Below the default of a NATS server's largest message, 1 MiB.
_CHUNK: Final = 512 << 10
_TIMEOUT_S: Final = 30.0
_IDLE_S: Final = 5.0


class Artifacts:
    """Put and get by content. Names are never reused, so a reader cannot see half a write."""

    def __init__(self, connection: Connection) -> None:
        self._js = connection.js

    async def put(self, data: bytes) -> str:
        """Store `data`, once; its SHA-256 in hex is its name.

        Raises:
            Unavailable: NATS did not answer; storing again is safe.
        """
        name = hashlib.sha256(data).hexdigest()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                if await self._info(name) is None:
                    store = await self._js.object_store(ARTIFACTS)
                    options = ObjectMetaOptions(max_chunk_size=_CHUNK)
                    await store.put(name, data, ObjectMeta(name=name, options=options))
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as exc:
            raise Unavailable("NATS did not take the artifact") from exc
        return name

    async def get(self, name: str) -> bytes:
        """The bytes whose SHA-256 is `name`.

        Why not the library's `get`: at nats-py 2.16 it is quadratic in the object's size, and it
        never returns when the object changes under it.

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
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as exc:
            raise Unavailable(f"NATS did not deliver artifact {name}") from exc
        if hashlib.sha256(data).hexdigest() != name:
            raise ArtifactRefused(f"artifact {name} is damaged: its content has another hash")
        return data

    async def _info(self, name: str) -> dict[str, str | int] | None:
        encoded = base64.urlsafe_b64encode(name.encode()).decode()
        try:
            message = await self._js.get_last_msg(_STREAM, f"$O.{ARTIFACTS}.M.{encoded}")
        except NotFoundError:
            return None
        info: dict[str, str | int] = orjson.loads(message.data or b"{}")
        return None if info.get("deleted") else info

    async def _chunks(self, nuid: str, size: int) -> bytes:
        subscription = await self._js.subscribe(
            f"$O.{ARTIFACTS}.C.{nuid}", stream=_STREAM, ordered_consumer=True
        )
        try:
            data, more = bytearray(), size > 0
            while more:
                message = await subscription.next_msg(timeout=_IDLE_S)
                data += message.data
                # A lost chunk will never come: when nothing is pending, this was all.
                more = len(data) < size and message.metadata.num_pending > 0
        finally:
            await subscription.unsubscribe()
        return bytes(data)
