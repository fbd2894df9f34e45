"""Views in SQLite: queryable copies of what lives in JetStream, which can always be made again."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiosqlite

log = logging.getLogger(__name__)

_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)


@asynccontextmanager
async def open_view(path: Path, schema: str) -> AsyncIterator[aiosqlite.Connection]:
    """Open the view at `path` while the body runs, creating its tables by `schema`.

    A file that is damaged, or of another schema, is moved aside and begun anew: nothing in a view
    is the only copy. Where the disk is full or refuses, or another process is in the way, the file
    stays.

    Raises:
        OSError: the directory cannot be made.
        sqlite3.OperationalError: the file cannot be used now, for a reason that is not in it.
    """
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    try:
        view = await _open(path, schema)
    except sqlite3.DatabaseError as exc:
        if _may_pass(exc):
            raise
        log.warning("the view is not usable and is made anew", extra={"reason": str(exc)})
        await asyncio.to_thread(_set_aside, path)
        view = await _open(path, schema)
    try:
        yield view
    finally:
        await view.close()


def _may_pass(error: sqlite3.DatabaseError) -> bool:
    """Whether the same file may do at another time. An extended code has its kind in a byte."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING


def _set_aside(path: Path) -> None:
    path.replace(path.with_suffix(".damaged"))
    for leftover in ("-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)


async def _open(path: Path, schema: str) -> aiosqlite.Connection:
    # autocommit: each upsert is a whole truth, and a lost one comes again from the stream.
    view = await aiosqlite.connect(path, isolation_level=None)
    try:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 5000"):
            await view.execute(f"PRAGMA {pragma}")
        async with view.execute("PRAGMA quick_check(1)") as found:
            verdict = await found.fetchone()
        if verdict is None or verdict[0] != "ok":
            raise sqlite3.DatabaseError(f"quick_check says {verdict}")
        await view.executescript(schema)
    except BaseException:
        await view.close()
        raise
    return view
