"""Artifacts on the local disk, so that a restart fetches nothing twice."""

import asyncio
import hashlib
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

log = logging.getLogger(__name__)

#: What is used least goes first when the files are more than this.
_MOST_BYTES: Final = 512 << 20


class Store(Protocol):
    """Where artifacts come from. Raises NotFound, ArtifactRefused or Unavailable."""

    async def get(self, name: str) -> bytes: ...


class CachedArtifacts:
    """Files in `folder`, named by their SHA-256, shared with other predictors on this machine.

    A file is complete before it has its name, and its hash is compared each time it is read, so
    half a write, a flipped bit or a foreign file is dropped and fetched again. A disk that is full
    or cannot be written costs speed, never an answer.
    """

    def __init__(self, store: Store, folder: Path, *, most_bytes: int = _MOST_BYTES) -> None:
        self._store = store
        self._folder = folder
        self._most_bytes = most_bytes

    async def get(self, sha256: str) -> bytes:
        """The bytes with this hash.

        Raises:
            NotFound: there is no such artifact.
            ArtifactRefused: what is stored has another hash.
            Unavailable: it is not on this disk, and the store does not answer.
        """
        data = await asyncio.to_thread(self._read, sha256)
        if data is None:
            data = await self._store.get(sha256)
            await asyncio.to_thread(self._keep, sha256, data)
        return data

    def _read(self, sha256: str) -> bytes | None:
        path = self._folder / sha256
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == sha256:
                os.utime(path)
                return data
            log.warning("dropped a damaged artifact file", extra={"path": str(path)})
            path.unlink()
        except FileNotFoundError:
            return None
        except OSError as exc:
            log.warning("cannot read an artifact file", extra={"reason": str(exc)})
        return None

    def _keep(self, sha256: str, data: bytes) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._write(self._folder / sha256, data)
            self._make_room()
        except OSError as exc:
            log.warning("cannot keep an artifact file", extra={"reason": str(exc)})

    def _write(self, path: Path, data: bytes) -> None:
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".partial")
        partial = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def _make_room(self) -> None:
        """Partial files of writers that were killed age and go like any other."""
        files = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another predictor makes room as well
                files.append((path.stat().st_mtime, path.stat().st_size, path))
        kept = 0
        for _, size, path in sorted(files, reverse=True):
            kept += size
            if kept > self._most_bytes:
                path.unlink(missing_ok=True)
