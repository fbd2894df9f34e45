"""Candles in and out of the store."""

import asyncio
import sys
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from evertrain.exits import Exit
from evertrain.output import age, duration, moment, table
from evertrain.session import check_stores
from shared.bus import rpc
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.contracts import subjects
from shared.contracts.errors import CandlesRefused, NotFound, Unavailable
from shared.contracts.events import CandlesUpdated
from shared.contracts.records import CandleSummary
from shared.contracts.requests import CandlesRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle, unpack
from shared.market.checks import Refusal
from shared.market.files import Batch, file_name, read_candles, write_candles
from shared.market.store import CandleStore, Series
from shared.runtime.clock import from_ms, to_ms, utc_now

_MOST_SHOWN: Final = 3


@dataclass(slots=True, kw_only=True)
class Imported:
    """What one file brought. `problem` is why it was not read, or not to its end."""

    path: Path
    added: Counter[Series] = field(default_factory=Counter)
    refused: list[Refusal] = field(default_factory=list)
    missing: int = 0
    problem: str | None = None

    @property
    def exit(self) -> Exit:
        if self.problem:
            return Exit.MEND
        return Exit.PARTLY if self.refused else Exit.DONE


async def import_file(
    connection: Connection, path: Path, symbol: Symbol | None, timeframe: Timeframe | None
) -> Imported:
    """Store the sound candles of one file, and tell of the newest of each series.

    Raises:
        Unavailable, Conflict: the store did not take them; importing again is safe.
    """
    imported = Imported(path=path)
    store = await _store(connection)
    newest: dict[Series, Candle] = {}
    batches = read_candles(path, symbol=symbol, timeframe=timeframe, now_ms=to_ms(utc_now()))
    try:
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            await _append(store, batch, imported, newest)
    except CandlesRefused as exc:
        imported.problem = str(exc)
    for series, candle in newest.items():
        if imported.added[series]:
            await Publisher(connection).emit(_updated(series, candle, imported.added[series]))
    return imported


async def _append(
    store: CandleStore, batch: Batch, imported: Imported, newest: dict[Series, Candle]
) -> None:
    series = Series(batch.symbol, batch.timeframe)
    imported.refused += batch.refused
    imported.missing += sum(gap.missing for gap in batch.gaps)
    if not batch.candles:
        return
    appended = await store.append(*series, batch.candles)
    imported.added[series] += appended.added
    if batch.candles[-1].at_ms == appended.newest:
        newest[series] = batch.candles[-1]


def _updated(series: Series, newest: Candle, added: int) -> CandlesUpdated:
    return CandlesUpdated(
        id=f"candles.updated:{series.symbol}:{series.timeframe}:{newest.at_ms}",
        at=utc_now(),
        symbol=series.symbol,
        timeframe=series.timeframe,
        added=added,
        candle_at=from_ms(newest.at_ms),
        open=newest.open,
        high=newest.high,
        low=newest.low,
        close=newest.close,
        volume=newest.volume,
    )


async def summaries(connection: Connection) -> list[CandleSummary]:
    """Every series, as the scheduler sees it, or else as it is stored.

    Raises:
        Unavailable: NATS does not answer.
    """
    try:
        return await rpc.ask(
            connection, "evertrain.scheduler.candles", CandlesRequest(), list[CandleSummary]
        )
    except Unavailable:
        store = await _store(connection)
        return await store.summaries(now_ms=to_ms(utc_now()))


async def update(connection: Connection) -> None:
    """Have candles fetched now, by whichever scheduler is free; its next tick comes all the same.

    Raises:
        Unavailable: no scheduler answers, or NATS does not.
    """
    await rpc.ask(connection, "evertrain.scheduler.candles", CandlesRequest(), list[CandleSummary])
    name = f"candles:manual:{uuid.uuid4().hex}"
    await Publisher(connection).publish(subjects.tick("candles"), b"", message_id=name)


async def export(
    connection: Connection, symbol: Symbol, timeframe: Timeframe | None, output: Path | None
) -> tuple[Path, int]:
    """Write one series to a file; its path and number of rows.

    Raises:
        NotFound: there are no candles of that symbol and timeframe.
        CandlesRefused: the file cannot be written.
        Unavailable: NATS does not answer.
    """
    store = await _store(connection)
    timeframe = timeframe or await _only_timeframe(store, symbol)
    rows = unpack(await store.read(symbol, timeframe))
    if not rows:
        raise NotFound(
            f"there are no {timeframe} candles of {symbol}: see `evertrain candles info`"
        )
    path = output or Path(file_name(symbol, timeframe))
    return path, await asyncio.to_thread(write_candles, path, rows)


async def _only_timeframe(store: CandleStore, symbol: Symbol) -> Timeframe:
    """Raises NotFound: the symbol has no series, or more than one."""
    found = [series.timeframe for series in await store.series() if series.symbol == symbol]
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound(f"there are no candles of {symbol}: see `evertrain candles info`")
    raise NotFound(f"{symbol} has {', '.join(found)} candles: choose one with --timeframe")


def show_summaries(series: Sequence[CandleSummary], out: Console, now: datetime) -> None:
    if not series:
        out.print("no candles yet: `evertrain candles import FILE`, or set DATA_PROVIDER")
        return
    columns = ("Symbol", "Timeframe", "First", "Last", "Rows", "Gaps", "Behind", "Problem")
    rows = (
        (
            one.symbol,
            one.timeframe,
            moment(one.first),
            moment(one.last),
            one.rows,
            one.gaps,
            duration(one.lag_s),
            _problem(one, now),
        )
        for one in series
    )
    out.print(table(*columns, rows=rows, numbers=("Rows", "Gaps", "Behind")))


def _problem(series: CandleSummary, now: datetime) -> str:
    if series.error is None:
        return ""
    since = f" ({age(series.last_error_at, now)} ago)" if series.last_error_at else ""
    return f"{series.error.message}{since}"


def show_import(imported: Imported, out: Console) -> None:
    for (symbol, timeframe), added in imported.added.items():
        out.print(f"{imported.path}: {added} new {timeframe} candles of {symbol}")
    if imported.missing:
        out.print(f"{imported.path}: {imported.missing} candles are missing in between")
    if imported.refused:
        first = ", ".join(f"line {r.row} {r.reason}" for r in imported.refused[:_MOST_SHOWN])
        out.print(f"{imported.path}: {len(imported.refused)} rows are refused: {first}")
    if imported.problem:
        print(f"evertrain: {imported.problem}", file=sys.stderr)


async def _store(connection: Connection) -> CandleStore:
    await check_stores(connection)
    return CandleStore(Bucket(connection, subjects.CANDLES))
