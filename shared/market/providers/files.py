"""A directory of candle files, read again when they change."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from shared.contracts.errors import CandlesRefused, InvalidSetting, Unavailable, UnknownSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import ROW, Candle, between, opened_at, pack, unpack
from shared.market.files import read_candles
from shared.market.providers.provider import MOST_PER_CALL
from shared.market.store import Series
from shared.runtime.clock import Clock, to_ms

log = logging.getLogger(__name__)
_SUFFIXES: Final = frozenset({".csv", ".txt", ".tsv", ".parquet", ".pq"})
#: A file that changed less than this ago may still be in writing, with half a number at its end.
_SETTLED_MS: Final = 2000


class _State(NamedTuple):
    """Of a file on the disk: if it is the same, so is the content."""

    inode: int
    size: int
    modified_ns: int


class _Place(NamedTuple):
    """Open times of the first and the last candle of a series, and where its rows are kept."""

    first: int
    last: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What a file held when it was last read. `rows` are its candles, packed, series by series."""

    state: _State
    rows: Path
    places: Mapping[Series, _Place]


@asynccontextmanager
async def open_files(folder: Path, *, clock: Clock) -> AsyncIterator["Files"]:
    """Read everything there is; `~` stands for the home directory.

    Raises:
        InvalidSetting: there is no such directory.
    """
    present = await asyncio.to_thread(directory, folder)
    kept = await asyncio.to_thread(TemporaryDirectory, prefix="evertrain-candles-")
    try:
        files = Files(present, Path(kept.name), clock)
        await files.refresh()
        yield files
    finally:
        await asyncio.to_thread(kept.cleanup)


def directory(folder: Path) -> Path:
    """Where it is. Raises InvalidSetting: it is not there."""
    present = folder.expanduser()
    if not present.is_dir():
        raise InvalidSetting(f"DATA_PROVIDER=files:{folder}: there is no such directory")
    return present


class Files:
    """Every CSV and Parquet file directly in one directory, on real time.

    A series may be spread over many files; where two files have the same candle, the one that
    begins earlier counts. A file that cannot be read is logged once and left out until it changes.

    A file is read once for all the series in it, and its candles are kept packed in `kept`: a file
    of many symbols would otherwise be parsed for each of them, or stay in memory.
    """

    def __init__(self, folder: Path, kept: Path, clock: Clock) -> None:
        self._folder = folder
        self._kept = kept
        self._clock = clock
        self._known: dict[Path, _Known] = {}
        self._numbers = count()
        self._reading = asyncio.Lock()

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, after_ms: int | None
    ) -> list[Candle]:
        async with self._reading:
            return await asyncio.to_thread(self._candles, Series(symbol, timeframe), after_ms)

    def now_ms(self) -> int:
        return to_ms(self._clock())

    def symbols(self) -> tuple[Symbol, ...]:
        series = (series for known in self._known.values() for series in known.places)
        return tuple(sorted({symbol for symbol, _ in series}))

    async def refresh(self) -> None:
        """Read the files that are new or have changed, and forget those that are gone."""
        async with self._reading:
            await asyncio.to_thread(self._refresh)

    def _candles(self, series: Series, after_ms: int | None) -> list[Candle]:
        self._refresh()
        holders = self._holders(series)
        if not holders:
            raise UnknownSymbol(
                f"{series.symbol} ({series.timeframe}) is in no file of {self._folder}"
            )
        since_ms = None if after_ms is None else after_ms + 1
        found: dict[int, Candle] = {}
        for place, rows in holders:
            if len(found) >= MOST_PER_CALL and place.first > max(found):
                break
            if since_ms is None or place.last >= since_ms:
                candles = between(_stretch(rows, place), since_ms, None)
                for candle in unpack(candles[: MOST_PER_CALL * ROW.size]):
                    found.setdefault(candle.at_ms, candle)
        return [found[at_ms] for at_ms in sorted(found)[:MOST_PER_CALL]]

    def _holders(self, series: Series) -> list[tuple[_Place, Path]]:
        return sorted(
            (known.places[series], known.rows)
            for known in self._known.values()
            if series in known.places
        )

    def _refresh(self) -> None:
        known = {}
        for path, state in self._present():
            before = self._known.get(path)
            if before is not None and before.state == state:
                known[path] = before
            else:
                known[path] = self._read(path, state)
        for path, before in self._known.items():
            if known.get(path) is not before:
                before.rows.unlink()
        self._known = known

    def _present(self) -> Iterator[tuple[Path, _State]]:
        try:
            for path in sorted(self._folder.iterdir()):
                if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."):
                    status = path.stat()
                    if self.now_ms() - status.st_mtime_ns // 1_000_000 >= _SETTLED_MS:
                        yield path, _State(status.st_ino, status.st_size, status.st_mtime_ns)
        except OSError as exc:
            raise Unavailable(f"{self._folder} cannot be read: {exc.strerror}") from exc

    def _read(self, path: Path, state: _State) -> _Known:
        rows = self._kept / str(next(self._numbers))
        places = {}
        with rows.open("wb") as file:
            for series, packed in _parsed(path, self.now_ms()).items():
                newest = len(packed) // ROW.size - 1
                places[series] = _Place(
                    first=opened_at(packed, 0),
                    last=opened_at(packed, newest),
                    offset=file.tell(),
                    size=file.write(packed),
                )
        return _Known(state=state, rows=rows, places=places)


def _stretch(rows: Path, place: _Place) -> bytes:
    with rows.open("rb") as file:
        file.seek(place.offset)
        return file.read(place.size)


def _parsed(path: Path, now_ms: int) -> dict[Series, bytes]:
    rows: dict[Series, list[bytes]] = defaultdict(list)
    refused = []
    try:
        for batch in read_candles(path, now_ms=now_ms):
            rows[Series(batch.symbol, batch.timeframe)].append(pack(batch.candles))
            refused += batch.refused
    except CandlesRefused as exc:
        log.warning("candle file refused", extra={"reason": str(exc)})
    if refused:
        line, reason = refused[0]
        log.warning(
            "candles refused",
            extra={"file": str(path), "rows": len(refused), "line": line, "reason": reason},
        )
    return {series: packed for series, parts in rows.items() if (packed := b"".join(parts))}
