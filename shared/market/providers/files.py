"""A directory of candle files, read again when they change."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

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


class _Range(NamedTuple):
    """Open times of the first and the last candle."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What a file held when it was last read."""

    state: _State
    ranges: dict[Series, _Range]


class Files:
    """Every CSV and Parquet file directly in one directory, on real time.

    A series may be spread over many files; where two files have the same candle, the one that
    begins earlier counts. A file that cannot be read is logged once and left out until it changes.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._known: dict[Path, _Known] = {}
        #: The file read last, as packed rows: one file with all symbols is not read once for each.
        self._loaded: tuple[Path, dict[Series, bytes]] | None = None
        self._reading = asyncio.Lock()

    @classmethod
    async def open(cls, folder: Path, *, clock: Clock) -> Self:
        """Read everything there is; `~` stands for the home directory.

        Raises:
            InvalidSetting: there is no such directory.
        """
        provider = cls(await asyncio.to_thread(folder.expanduser), clock)
        if not await asyncio.to_thread(provider._folder.is_dir):
            raise InvalidSetting(f"DATA_PROVIDER=files:{folder}: there is no such directory")
        await asyncio.to_thread(provider._refresh)
        return provider

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, after_ms: int | None
    ) -> list[Candle]:
        async with self._reading:
            return await asyncio.to_thread(self._candles, Series(symbol, timeframe), after_ms)

    def now_ms(self) -> int:
        return to_ms(self._clock())

    def symbols(self) -> tuple[Symbol, ...]:
        series = (series for known in self._known.values() for series in known.ranges)
        return tuple(sorted({symbol for symbol, _ in series}))

    def _candles(self, series: Series, after_ms: int | None) -> list[Candle]:
        self._refresh()
        holders = self._holders(series)
        if not holders:
            raise UnknownSymbol(
                f"{series.symbol} ({series.timeframe}) is in no file of {self._folder}"
            )
        since_ms = None if after_ms is None else after_ms + 1
        found: dict[int, Candle] = {}
        for span, path in holders:
            if len(found) >= MOST_PER_CALL and span.first > max(found):
                break
            if since_ms is None or span.last >= since_ms:
                rows = between(self._load(path).get(series, b""), since_ms, None)
                for candle in unpack(rows[: MOST_PER_CALL * ROW.size]):
                    found.setdefault(candle.at_ms, candle)
        if not found:
            self._loaded = None
        return [found[at_ms] for at_ms in sorted(found)[:MOST_PER_CALL]]

    def _holders(self, series: Series) -> list[tuple[_Range, Path]]:
        return sorted(
            (known.ranges[series], path)
            for path, known in self._known.items()
            if series in known.ranges
        )

    def _refresh(self) -> None:
        known = {}
        for path, state in self._present():
            before = self._known.get(path)
            if before is not None and before.state == state:
                known[path] = before
            else:
                self._loaded = None
                known[path] = _Known(state=state, ranges=_ranges(self._load(path)))
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

    def _load(self, path: Path) -> dict[Series, bytes]:
        loaded = self._loaded
        if loaded is None or loaded[0] != path:
            loaded = self._loaded = (path, _read(path, self.now_ms()))
        return loaded[1]


def _read(path: Path, now_ms: int) -> dict[Series, bytes]:
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


def _ranges(rows: dict[Series, bytes]) -> dict[Series, _Range]:
    return {
        series: _Range(opened_at(packed, 0), opened_at(packed, len(packed) // ROW.size - 1))
        for series, packed in rows.items()
    }
