"""Import and export of candle files, CSV and Parquet."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from shared.contracts.errors import CandlesRefused, InvalidSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle
from shared.market.checks import Gap, Reason, Refusal, check
from shared.market.layout import KLINES, Layout, looks_like_klines, named, recognise
from shared.market.parquet import read_parquet, write_parquet
from shared.market.tables import Line, Table, read_csv
from shared.market.timestamps import Stamp, stamp
from shared.runtime.clock import from_ms

#: Rows that are looked at before the first is given: they tell the timeframe and the order.
_AHEAD: Final = 1000
_BATCH: Final = 4096
#: A file with so many unreadable rows on end is something else, and their list would fill memory.
_MOST_REFUSED: Final = 100_000
_PARQUET: Final = (".parquet", ".pq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some candles of one series, in order. `refused` are the lines of the file since the batch
    before, of whatever symbol; `gaps` those in front of and between these candles.
    """

    symbol: Symbol
    timeframe: Timeframe
    candles: list[Candle]
    refused: list[Refusal]
    gaps: list[Gap]


def read_candles(
    path: Path, *, symbol: Symbol | None = None, timeframe: Timeframe | None = None, now_ms: int
) -> Iterator[Batch]:
    """The candles of a file, at most 4,096 at a time, so that a file of any length fits in memory.

    The symbol comes from a symbol column, else from the argument, else from the file's name; the
    timeframe from the argument, else from the name, else from the most common distance between
    rows. A file with its newest row first is read to its end and turned around. Bad rows are
    refused one by one with their line; the good ones around them are given.

    Blocks on the disk.

    Raises:
        CandlesRefused: naming the file, and the line where there is one: it cannot be read, is
            empty, no table of candles, or has no row that can be used. It may come after some
            batches; those are sound.
    """
    symbol_in_name, timeframe_in_name = named(path.stem)
    with _naming(path), path.open("rb") as file:
        table, layout = _open(path, file)
        if layout.symbol is None:
            symbol = symbol or _ticker(table) or symbol_in_name
            if symbol is None:
                raise CandlesRefused("tells no symbol: name it like BTC_USDT-15m.csv, or give one")
        rows = (_row(line, layout, symbol) for line in table.lines)
        ahead = list(islice(rows, _AHEAD))
        steps = _steps(ahead)
        timeframe = timeframe or timeframe_in_name or _timeframe(ahead, steps)
        importing = _Import(timeframe, now_ms)
        in_order = _oldest_first(chain(ahead, rows), steps)
        yield from importing.batches(in_order)


def write_candles(path: Path, candles: Iterable[Candle]) -> int:
    """Write `timestamp,open,high,low,close,volume`, as Parquet if the name ends so, else as CSV.

    Read back, it gives the same candles to the last bit. The file is there completely or not at
    all. Gives the number of rows. Blocks on the disk.

    Raises:
        CandlesRefused: naming the file: it cannot be written, or Parquet is not installed.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    write = write_parquet if path.suffix.lower() in _PARQUET else _write_csv
    with _naming(path):
        try:
            rows = write(partial, candles)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return rows


def file_name(symbol: Symbol, timeframe: Timeframe) -> str:
    """A name from which `read_candles` knows both again: `BTC_USDT-15m.csv`."""
    return f"{symbol.path}-{timeframe}.csv"


class _Row(NamedTuple):
    line: int
    symbol: Symbol
    at: Stamp
    values: list[float]


@dataclass(slots=True)
class _Pending:
    """Rows of one series that wait to be checked, behind the newest that was accepted."""

    newest: int | None = None
    rows: list[_Row] = field(default_factory=list)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (CandlesRefused, InvalidSymbol) as exc:
        raise CandlesRefused(f"{path}: {exc}") from exc
    except OSError as exc:
        raise CandlesRefused(f"{path}: {exc.strerror or exc}") from exc


def _open(path: Path, file: BinaryIO) -> tuple[Table, Layout]:
    if path.suffix.lower() in _PARQUET:
        table = read_parquet(file)
        return table, recognise(table.header)
    table = read_csv(file)
    if looks_like_klines(table.header):
        first = Line(table.header_line, table.header)
        klines = Table(header=(), header_line=0, lines=chain([first], table.lines))
        return klines, KLINES
    try:
        return table, recognise(table.header)
    except CandlesRefused as exc:
        raise CandlesRefused(f"line {table.header_line}: {exc}") from exc


def _ticker(table: Table) -> Symbol | None:
    return Symbol(table.ticker.upper()) if table.ticker else None


def _row(line: Line, layout: Layout, symbol: Symbol | None) -> _Row | Refusal:
    cells = line.cells
    try:
        at = stamp(_time(line, layout))
        values = [_number(cells[column]) for column in layout.prices]
        values.append(0.0 if layout.volume is None else _number(cells[layout.volume]))
        if layout.symbol is not None:
            symbol = Symbol(str(cells[layout.symbol]).strip().upper())
    except (IndexError, ValueError, TypeError, InvalidSymbol):
        return Refusal(line.number, Reason.MALFORMED)
    if at is None or symbol is None:
        return Refusal(line.number, Reason.MALFORMED)
    return _Row(line.number, symbol, at, values)


def _time(line: Line, layout: Layout) -> object:
    if layout.clock is None:
        return line.cells[layout.time]
    return f"{line.cells[layout.time]} {line.cells[layout.clock]}"


def _number(cell: object) -> float:
    if isinstance(cell, bool) or not isinstance(cell, str | float | int):
        raise TypeError(f"{cell!r} is not a number")
    if isinstance(cell, str) and "_" in cell:
        raise ValueError(f"{cell!r} is a number in Python only")
    return float(cell)


def _steps(rows: Iterable[_Row | Refusal]) -> list[int]:
    """Distances in ms between neighbouring rows of each symbol, negative where time goes back."""
    before: dict[Symbol, int] = {}
    steps = []
    for row in rows:
        if isinstance(row, _Row):
            steps.append(row.at.utc_ms - before.get(row.symbol, row.at.utc_ms))
            before[row.symbol] = row.at.utc_ms
    return [step for step in steps if step]


def _timeframe(rows: Iterable[_Row | Refusal], steps: Iterable[int]) -> Timeframe:
    common = Counter(map(abs, steps)).most_common(1)
    if not any(isinstance(row, _Row) for row in rows):
        raise CandlesRefused(_nothing_usable(next(iter(rows), None)))
    if not common:
        raise CandlesRefused(
            "has too few rows to tell the timeframe: name it like BTC_USDT-15m.csv, or give one"
        )
    step = common[0][0]
    for timeframe in Timeframe:
        if timeframe.ms == step:
            return timeframe
    raise CandlesRefused(
        f"has a candle every {step / 1000:g} s, which is none of {', '.join(Timeframe)}"
    )


def _oldest_first(rows: Iterable[_Row | Refusal], steps: Sequence[int]) -> Iterable[_Row | Refusal]:
    newest_first = 2 * sum(step < 0 for step in steps) > len(steps)
    return reversed(list(rows)) if newest_first else rows


def _nothing_usable(first: _Row | Refusal | None) -> str:
    if isinstance(first, Refusal):
        return f"has no row that can be used: line {first.row} is {first.reason}"
    return "has no rows"


class _Import:
    """Collects the rows of each series and checks them batch by batch."""

    def __init__(self, timeframe: Timeframe, now_ms: int) -> None:
        self._timeframe = timeframe
        self._now_ms = now_ms
        self._series: dict[Symbol, _Pending] = {}
        self._refused: list[Refusal] = []
        self._first: Refusal | None = None
        self._usable = False

    def batches(self, rows: Iterable[_Row | Refusal]) -> Iterator[Batch]:
        for row in rows:
            if isinstance(row, Refusal):
                self._refuse(row)
            elif self._collect(row) == _BATCH:
                yield self._batch(row.symbol)
        for symbol, pending in self._series.items():
            if pending.rows or self._refused:
                yield self._batch(symbol)
        if not self._usable:
            raise CandlesRefused(_nothing_usable(self._first))

    def _refuse(self, refusal: Refusal) -> None:
        self._first = self._first or refusal
        self._refused.append(refusal)
        if len(self._refused) > _MOST_REFUSED:
            raise CandlesRefused(f"line {refusal.row}: {_MOST_REFUSED} unreadable rows on end")

    def _collect(self, row: _Row) -> int:
        rows = self._series.setdefault(row.symbol, _Pending()).rows
        rows.append(row)
        return len(rows)

    def _batch(self, symbol: Symbol) -> Batch:
        pending = self._series[symbol]
        checked = check(
            ((_open_time(row, self._timeframe), *row.values) for row in pending.rows),
            timeframe=self._timeframe,
            after=pending.newest,
            now_ms=self._now_ms,
        )
        for row, reason in checked.refused:
            self._refuse(Refusal(pending.rows[row].line, reason))
        refused, self._refused = sorted(self._refused), []
        if checked.accepted:
            self._usable = True
            pending.newest = checked.accepted[-1].at_ms
        pending.rows.clear()
        return Batch(
            symbol=symbol,
            timeframe=self._timeframe,
            candles=checked.accepted,
            refused=refused,
            gaps=checked.gaps,
        )


def _open_time(row: _Row, timeframe: Timeframe) -> int:
    return row.at.day() if timeframe is Timeframe.D1 else row.at.utc_ms


def _write_csv(path: Path, candles: Iterable[Candle]) -> int:
    rows = 0
    with path.open("w", encoding="ascii", newline="") as file:
        file.write("timestamp,open,high,low,close,volume\n")
        for at_ms, *values in candles:
            time = from_ms(at_ms).replace(tzinfo=None).isoformat()
            file.write(f"{time}Z,{','.join(map(repr, values))}\n")
            rows += 1
        file.flush()
        os.fsync(file.fileno())
    return rows
