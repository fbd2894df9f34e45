"""A KV bucket in memory. It passes the same suite as the real one."""

from itertools import count

from shared.bus.kv import Entry
from shared.contracts.errors import Conflict


class MemoryBucket:
    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._revisions = count(1)

    async def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    async def put(self, key: str, value: bytes) -> int:
        return self._write(key, value)

    async def create(self, key: str, value: bytes) -> int:
        if key in self._entries:
            raise Conflict(f"{key} is already there")
        return self._write(key, value)

    async def update(self, key: str, value: bytes, last: int) -> int:
        entry = self._entries.get(key)
        if (entry.revision if entry else 0) != last:
            raise Conflict(f"{key} was changed by someone else")
        return self._write(key, value)

    async def delete(self, key: str) -> None:
        next(self._revisions)
        self._entries.pop(key, None)

    async def entries(self, pattern: str = ">") -> list[Entry]:
        found = [entry for key, entry in self._entries.items() if _matches(pattern, key)]
        return sorted(found, key=lambda entry: entry.revision)

    def _write(self, key: str, value: bytes) -> int:
        revision = next(self._revisions)
        self._entries[key] = Entry(key, value, revision)
        return revision


def _matches(pattern: str, key: str) -> bool:
    wanted, given = pattern.split("."), key.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(
        want in ("*", have) for want, have in zip(wanted, given, strict=True)
    )
