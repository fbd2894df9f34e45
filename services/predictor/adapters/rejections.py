"""Rejections in SQLite, copied from stream `EVERTRAIN_REJECTIONS`."""

import asyncio
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import aiosqlite

from services.predictor.adapters.copies import PLACE, page
from shared.bus.trail import Item
from shared.contracts import codec
from shared.contracts.errors import InvalidSymbol, MalformedMessage
from shared.contracts.events import SignalRejected
from shared.contracts.requests import RejectionsRequest
from shared.contracts.trading import Rejection
from shared.runtime.clock import Clock, to_ms

log = logging.getLogger(__name__)

SCHEMA: Final = (
    PLACE
    + """
CREATE TABLE IF NOT EXISTS rejections (
    id TEXT PRIMARY KEY, symbol TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL,
    record BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rejections_newest ON rejections (at, id);
CREATE INDEX IF NOT EXISTS rejections_of_symbol ON rejections (symbol, at, id);
CREATE INDEX IF NOT EXISTS rejections_of_reason ON rejections (reason, at, id);
"""
)
_KEPT: Final = timedelta(days=30)


class RejectionCopy:
    """The rejections of the last 30 days, each once, however often it was told."""

    def __init__(self, database: aiosqlite.Connection, *, clock: Clock) -> None:
        self.database = database
        self.complete = asyncio.Event()
        self._clock = clock

    async def take(self, items: tuple[Item, ...]) -> None:
        await self.database.executemany(
            "INSERT OR IGNORE INTO rejections VALUES (:id, :symbol, :reason, :at, :record)",
            [_row(rejection) for rejection in _rejections(items)],
        )
        oldest = to_ms(self._clock() - _KEPT)
        await self.database.execute("DELETE FROM rejections WHERE at < ?", (oldest,))

    async def forget(self) -> None:
        await self.database.execute("DELETE FROM rejections")

    async def rejected(self, asked: RejectionsRequest, now: datetime) -> list[bytes]:
        """At most `limit` of the last hours, newest first, behind the one named `before`."""
        query, parameters = question(asked, now)
        return [record for (record,) in await self.database.execute_fetchall(query, parameters)]


def question(asked: RejectionsRequest, now: datetime) -> tuple[str, dict[str, object]]:
    return page(
        "rejections",
        "at",
        where={"symbol": asked.symbol, "reason": asked.reason},
        since_ms=to_ms(now - timedelta(hours=asked.hours)),
        before=asked.before,
        limit=asked.limit,
    )


def _rejections(items: tuple[Item, ...]) -> Iterator[Rejection]:
    for item in items:
        try:
            yield codec.decode(item.data, SignalRejected).rejection
        except (MalformedMessage, InvalidSymbol) as exc:
            log.warning("skipped", extra={"sequence": item.sequence, "reason": str(exc)})


def _row(rejection: Rejection) -> dict[str, Any]:
    return {
        "id": rejection.id,
        "symbol": rejection.symbol,
        "reason": rejection.reason,
        "at": to_ms(rejection.at),
        "record": codec.encode(rejection),
    }
