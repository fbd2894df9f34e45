"""A KV bucket in memory. It passes the same suite as the real one."""

from itertools import count

from shared.bus.kv import Entry, Removed, State
from shared.contracts.errors import Conflict


class MemoryBucket:
    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._removed: dict[str, Removed] = {}
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

    async def update_among(self, key: str, value: bytes, pattern: str, last: int) -> int:
        assert _matches(pattern, key)
        if (await self.state(pattern)).revision != last:
            raise Conflict(f"one of {pattern} was changed by someone else")
        return self._write(key, value)

    async def delete(self, key: str) -> None:
        self._entries.pop(key, None)
        self._removed[key] = Removed(key, next(self._revisions))

    async def entries(self, pattern: str = ">") -> list[Entry]:
        return (await self.state(pattern)).entries

    async def state(self, pattern: str = ">") -> State:
        changes = self._changes(pattern)
        entries = [change for change in changes if isinstance(change, Entry)]
        return State(entries, changes[-1].revision if changes else 0)

    async def newest(self, pattern: str) -> Entry | Removed | None:
        changes = self._changes(pattern)
        return changes[-1] if changes else None

    def _changes(self, pattern: str) -> list[Entry | Removed]:
        """The newest of each key that matches, oldest first."""
        newest: dict[str, Entry | Removed] = {**self._removed, **self._entries}
        found = [change for key, change in newest.items() if _matches(pattern, key)]
        return sorted(found, key=lambda change: change.revision)

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
