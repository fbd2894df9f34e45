"""Signals in SQLite, open and ended, copied from KV `evertrain_signals`."""

import asyncio
import logging
from datetime import datetime
from typing import Any, Final

import aiosqlite

from services.predictor.adapters.copies import PLACE, page
from services.predictor.adapters.ledger import KEPT
from services.predictor.domain.endings import status
from services.predictor.domain.profit import Trade
from shared.bus.trail import Item
from shared.contracts import codec
from shared.contracts.errors import InvalidSymbol, MalformedMessage
from shared.contracts.requests import SignalsRequest
from shared.contracts.symbols import Symbol
from shared.contracts.trading import Signal
from shared.runtime.clock import Clock, to_ms

log = logging.getLogger(__name__)

SCHEMA: Final = (
    PLACE
    + """
CREATE TABLE IF NOT EXISTS signals (
    id TEXT PRIMARY KEY, symbol TEXT NOT NULL, status TEXT NOT NULL, opened_at INTEGER NOT NULL,
    ended_at INTEGER, profit INTEGER, fee INTEGER, slippage INTEGER, funding INTEGER,
    record BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS signals_newest ON signals (opened_at, id);
CREATE INDEX IF NOT EXISTS signals_of_status ON signals (status, opened_at, id);
CREATE INDEX IF NOT EXISTS signals_of_symbol ON signals (symbol, opened_at, id);
CREATE INDEX IF NOT EXISTS trades
    ON signals (ended_at, id, symbol, profit, fee, slippage, funding) WHERE profit IS NOT NULL;
"""
)


_KEEP: Final = """
INSERT INTO signals VALUES (
    :id, :symbol, :status, :opened_at, :ended_at, :profit, :fee, :slippage, :funding, :record
)
ON CONFLICT (id) DO UPDATE SET
    status = excluded.status, ended_at = excluded.ended_at, profit = excluded.profit,
    fee = excluded.fee, slippage = excluded.slippage, funding = excluded.funding,
    record = excluded.record
WHERE ended_at IS NULL
"""


class SignalCopy:
    """What is older than the bucket keeps it is forgotten here too, by the clock that says when it
    was opened: candles may be of another time.
    """

    def __init__(self, database: aiosqlite.Connection, *, clock: Clock) -> None:
        self.database = database
        self.complete = asyncio.Event()
        self._clock = clock

    async def take(self, items: tuple[Item, ...]) -> None:
        for item in items:
            try:
                await self._take(item)
            except (MalformedMessage, InvalidSymbol) as exc:
                log.warning("skipped", extra={"key": item.subject, "reason": str(exc)})
        oldest = to_ms(self._clock() - KEPT)
        await self.database.execute("DELETE FROM signals WHERE opened_at < ?", (oldest,))

    async def forget(self) -> None:
        await self.database.execute("DELETE FROM signals")

    async def signals(self, asked: SignalsRequest) -> list[bytes]:
        """At most `limit` that match, newest first, behind the one named `before`."""
        query, parameters = question(asked)
        return [record for (record,) in await self.database.execute_fetchall(query, parameters)]

    async def trades(self, since: datetime | None) -> list[Trade]:
        """What was entered and has ended since then, in the order in which it did."""
        query = """
            SELECT symbol, ended_at, profit, fee, slippage, funding FROM signals
            WHERE profit IS NOT NULL AND ended_at >= :since ORDER BY ended_at, id
        """
        rows = await self.database.execute_fetchall(query, {"since": to_ms(since) if since else 0})
        return [Trade(*row) for row in rows]

    async def _take(self, item: Item) -> None:
        state, _, name = item.subject.split(".", 2)[2].partition(".")
        if state == "closed" and item.removed:
            await self.database.execute("DELETE FROM signals WHERE id = ?", (name,))
        elif state == "open" and item.removed:
            # One that ended is kept under its id before it is taken from here.
            await self.database.execute(
                "DELETE FROM signals WHERE symbol = ? AND status = 'open'",
                (Symbol.from_token(name),),
            )
        elif state in ("open", "closed"):
            await self.database.execute(_KEEP, _row(codec.decode(item.data, Signal)))


def question(asked: SignalsRequest) -> tuple[str, dict[str, object]]:
    return page(
        "signals",
        "opened_at",
        where={"id": asked.id, "symbol": asked.symbol, "status": asked.status},
        before=asked.before,
        limit=asked.limit,
    )


def _row(signal: Signal) -> dict[str, Any]:
    trade = Trade.of(signal)
    return {
        "id": signal.id,
        "symbol": signal.symbol,
        "status": status(signal),
        "opened_at": to_ms(signal.opened_at),
        "ended_at": to_ms(signal.outcome.exit_at) if signal.outcome else None,
        "profit": trade.profit if trade else None,
        "fee": trade.fee if trade else None,
        "slippage": trade.slippage if trade else None,
        "funding": trade.funding if trade else None,
        "record": codec.encode(signal),
    }
