"""Immutable artifacts in the Object Store, named by the SHA-256 of their bytes."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Final

import nats.errors
import orjson
from nats.js.api import ObjectMeta, ObjectMetaOptions
from nats.js.errors import APIError
from nats.js.errors import Error as JetStreamError
from nats.js.object_store import ObjectStore

from shared.bus import stored
from shared.bus.connection import Connection
from shared.bus.kv import EXPECTED_LAST, WRONG_LAST
from shared.contracts.artifacts import Artifact
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
        """Store `data`; its SHA-256 in hex is its name. What is there already becomes as young as
        if it had been stored now, so that it is not deleted for its age.

        Raises:
            Unavailable: NATS did not answer; storing again is safe.
        """
        name = hashlib.sha256(data).hexdigest()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                while (known := await self._known(name)) is not None:
                    if await self._renewed(known):
                        return name
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
                known = await self._known(name)
                if known is None:
                    raise NotFound(f"there is no artifact {name}")
                info = orjson.loads(known.data)
                data = await self._chunks(info["nuid"], info["size"])
        except TimeoutError as exc:
            raise Unavailable(f"NATS did not deliver artifact {name}") from exc
        if hashlib.sha256(data).hexdigest() != name:
            raise ArtifactRefused(f"artifact {name} is damaged: its content has another hash")
        return data

    async def all(self) -> AsyncGenerator[Artifact]:
        """Everything that is stored, in the order in which it was.

        Raises:
            Unavailable: NATS does not answer.
        """
        sequence = 0
        while message := await stored.following(self._connection, _STREAM, _meta("*"), sequence):
            sequence = message.sequence
            info = orjson.loads(message.data)
            if not info.get("deleted"):
                yield Artifact(
                    info["name"], info["size"], message.stored_at, sequence, info["nuid"]
                )

    async def delete(self, artifact: Artifact) -> None:
        """Delete it as it was listed: if it has been stored again since, it stays.

        Its description goes first. Who stores the same bytes at this moment either renews that
        before, and the chunks stay, or finds that it is gone, and stores new ones.

        Raises:
            Unavailable: NATS did not answer; the chunks may be left, for `sweep`.
        """
        subject = _meta(_encoded(artifact.name))
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._connection.js.purge_stream(
                    _STREAM, subject=subject, seq=artifact.sequence + 1
                )
                known = await self._known(artifact.name)
                if known is None or orjson.loads(known.data)["nuid"] != artifact.nuid:
                    await self._connection.js.purge_stream(_STREAM, subject=_chunk(artifact.nuid))
        except (nats.errors.Error, JetStreamError, OSError) as exc:
            raise Unavailable("NATS did not delete the artifact") from exc

    async def sweep(self, older_than: datetime) -> int:
        """Delete chunks that belong to no artifact, and say of how many storings: a process ended
        while it stored one or deleted one. Younger ones may belong to one that is being stored.

        Raises:
            Unavailable: NATS did not answer; what is deleted by then is deleted.
        """
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                info = await self._connection.js.stream_info(_STREAM, subjects_filter=_chunk("*"))
        except (nats.errors.Error, JetStreamError, OSError) as exc:
            raise Unavailable("NATS does not say which artifacts it has") from exc
        loose = {subject.rpartition(".")[2] for subject in info.state.subjects or {}}
        async for artifact in self.all():
            loose.discard(artifact.nuid)
        return sum([await self._swept(nuid, older_than) for nuid in sorted(loose)])

    async def _swept(self, nuid: str, older_than: datetime) -> bool:
        chunk = await stored.newest(self._connection, _STREAM, _chunk(nuid))
        if chunk is None or chunk.stored_at >= older_than:
            return False
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._connection.js.purge_stream(_STREAM, subject=_chunk(nuid))
        except (nats.errors.Error, JetStreamError, OSError) as exc:
            raise Unavailable("NATS did not delete what nobody needs") from exc
        return True

    async def _known(self, name: str) -> stored.Message | None:
        """The description of the artifact; None if it is not there."""
        message = await stored.newest(self._connection, _STREAM, _meta(_encoded(name)))
        return message if message and not orjson.loads(message.data).get("deleted") else None

    async def _renewed(self, known: stored.Message) -> bool:
        """Write the description again, unless it was deleted or replaced since it was read."""
        info = orjson.loads(known.data)
        headers = {"Nats-Rollup": "sub", EXPECTED_LAST: str(known.sequence)}
        subject = _meta(_encoded(info["name"]))
        try:
            await self._connection.js.publish(subject, known.data, headers=headers)
        except APIError as exc:
            if exc.err_code in WRONG_LAST:
                return False
            raise
        return True

    async def _chunks(self, nuid: str, size: int) -> bytes:
        """As much of the object as is there; a surplus chunk is read no further than the first."""
        data, sequence = bytearray(), 0
        while len(data) < size:
            chunk = await stored.following(self._connection, _STREAM, _chunk(nuid), sequence)
            if chunk is None:
                break
            data += chunk.data
            sequence = chunk.sequence
        return bytes(data)


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _meta(encoded: str) -> str:
    return f"$O.{ARTIFACTS}.M.{encoded}"


def _chunk(nuid: str) -> str:
    return f"$O.{ARTIFACTS}.C.{nuid}"
