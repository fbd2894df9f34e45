"""Copies of streams in SQLite, and how far each has been read.

What is taken and how far that goes are one transaction, so that a copy never claims to have what it
has not, whenever the process ends.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Final, Protocol

import aiosqlite

from shared.bus.connection import Connection
from shared.bus.trail import Item, Place, trail

PLACE: Final = """
CREATE TABLE IF NOT EXISTS place (
    stream TEXT PRIMARY KEY, epoch TEXT NOT NULL, sequence INTEGER NOT NULL
) WITHOUT ROWID;
"""


class Copy(Protocol):
    """A table of what a stream holds. No one else writes with its `database`. `complete` is set
    once it has had everything that the stream holds.
    """

    @property
    def database(self) -> aiosqlite.Connection: ...

    @property
    def complete(self) -> asyncio.Event: ...

    async def take(self, items: tuple[Item, ...]) -> None:
        """Note what came next. The same may come again."""

    async def forget(self) -> None:
        """Note that there is nothing."""


async def follow_stream(connection: Connection, stream: str, copy: Copy) -> None:
    """Keep the copy up to date; never returns."""
    place = await _place(copy.database, stream)
    async with aclosing(trail(connection, stream, place)) as batches:
        async for batch in batches:
            async with _transaction(copy.database):
                if batch.anew:
                    await copy.forget()
                await copy.take(batch.items)
                await _keep(copy.database, stream, batch.place)
            if not batch.behind:
                copy.complete.set()


def page(
    table: str,
    moment: str,
    *,
    where: Mapping[str, object],
    before: str | None,
    limit: int,
    since_ms: int | None = None,
) -> tuple[str, dict[str, object]]:
    """The query for the newest records by `moment`, then `id`, behind the one named `before`, and
    its parameters. `where` are columns and their values, None where any will do.
    """
    asked = {column: value for column, value in where.items() if value is not None}
    conditions = [f"{column} = :{column}" for column in asked]
    if since_ms is not None:
        conditions.append(f"{moment} >= :since")
        asked["since"] = since_ms
    if before is not None:
        conditions.append(
            f"({moment}, id) < (SELECT {moment}, id FROM {table} WHERE id = :before)"  # noqa: S608
        )
        asked["before"] = before
    filtered = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    query = f"""
        SELECT record FROM {table} {filtered} ORDER BY {moment} DESC, id DESC LIMIT :limit
    """  # noqa: S608
    return query, asked | {"limit": limit}


@asynccontextmanager
async def _transaction(database: aiosqlite.Connection) -> AsyncIterator[None]:
    await database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        await database.rollback()
        raise
    await database.commit()


async def _place(database: aiosqlite.Connection, stream: str) -> Place | None:
    query = "SELECT epoch, sequence FROM place WHERE stream = ?"
    async with database.execute(query, (stream,)) as found:
        row = await found.fetchone()
    return Place(*row) if row else None


async def _keep(database: aiosqlite.Connection, stream: str, place: Place) -> None:
    await database.execute("REPLACE INTO place VALUES (?, ?, ?)", (stream, *place))
