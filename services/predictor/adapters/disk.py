"""Predictions on the local disk, so that a restart computes nothing twice."""

import asyncio
import logging
import sqlite3
import zlib
from collections.abc import Collection, Iterable
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiosqlite

from shared.contracts import codec
from shared.contracts.errors import InvalidSymbol, MalformedMessage
from shared.contracts.records import ModelRecord, Prediction, Problem
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon
from shared.runtime.clock import Clock, to_ms
from shared.storage.sqlite import open_view

log = logging.getLogger(__name__)

#: Checksums begin with it, so what another format wrote reads as damaged. Changes when the same
#: model and candles give another prediction.
_FORMAT: Final = zlib.crc32(b"prediction 1")

#: The last line fails where the table is another one, and the file is made anew.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS predictions (
    symbol TEXT NOT NULL, horizons TEXT NOT NULL, version TEXT NOT NULL,
    candle_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
    checksum INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (symbol, horizons, version, candle_ms)
) STRICT, WITHOUT ROWID;
SELECT symbol, horizons, version, candle_ms, expires_ms, checksum, body FROM predictions LIMIT 0;
"""
_FIND: Final = """
SELECT candle_ms, checksum, body FROM predictions
WHERE symbol = ? AND horizons = ? AND version = ? AND expires_ms > ?
ORDER BY candle_ms DESC LIMIT 1
"""
_KEEP: Final = "INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?, ?, ?, ?)"
_MAKE_ROOM: Final = """
DELETE FROM predictions
WHERE symbol = ? AND (expires_ms <= ? OR (horizons = ? AND version = ? AND candle_ms < ?))
"""
_DROP: Final = """
DELETE FROM predictions WHERE symbol = ? AND horizons = ? AND version = ? AND candle_ms = ?
"""
_SIZE: Final = """
SELECT (SELECT count(*) FROM predictions), page_count * page_size
FROM pragma_page_count, pragma_page_size
"""

#: An answer never waits longer for a disk; without it, it is computed.
_WITHIN_S: Final = 1.0
_OPEN_WITHIN_S: Final = 10.0
_TRY_AGAIN_S: Final = 60.0


class PredictionFile:
    """One SQLite file, which predictors on the same machine may share. One row is one prediction,
    by symbol, horizons, model version and candle.

    A row that is damaged, foreign, or of another format is dropped; a file that is gets set aside
    and begun anew. What the disk refuses costs this tier alone: nothing is found, nothing is kept,
    `problem` says why, and after a minute it is tried again. No method raises.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self.problem: Problem | None = None
        self._path = path
        self._clock = clock
        self._stack = AsyncExitStack()
        self._file: aiosqlite.Connection | None = None
        self._opening = asyncio.Lock()
        self._rests_until = 0.0

    async def __aenter__(self) -> Self:
        await self._run("DELETE FROM predictions WHERE expires_ms <= ?", to_ms(self._clock()))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def find(self, record: ModelRecord, now: datetime) -> Prediction | None:
        """The prediction by this model from the newest candle, unless its time is over."""
        model = (record.symbol, _listed(record.horizons), record.version)
        for candle_ms, checksum, body in await self._run(_FIND, *model, to_ms(now)):
            key = (*model, candle_ms)
            prediction = _read(body, checksum)
            if prediction is not None and _key(prediction) == key:
                return prediction
            log.warning("dropped a prediction that is not readable", extra={"symbol": key[0]})
            await self._run(_DROP, *key)
        return None

    async def keep(self, prediction: Prediction) -> None:
        """In the place of those from older candles."""
        key, body = _key(prediction), codec.encode(prediction)
        await self._run(_KEEP, *key, to_ms(prediction.expires_at), _checksum(body), body)
        symbol, *rest = key
        await self._run(_MAKE_ROOM, symbol, to_ms(self._clock()), *rest)

    async def forget(self, symbols: Collection[Symbol]) -> None:
        for symbol in symbols:
            await self._run("DELETE FROM predictions WHERE symbol = ?", symbol)

    async def size(self) -> tuple[int, int]:
        """How many predictions, and the bytes of their file."""
        for rows, size in await self._run(_SIZE):
            return rows, size
        return 0, 0

    async def _run(self, statement: str, *values: object) -> list[Any]:
        """The rows that it gives; none while the disk does not work."""
        if asyncio.get_running_loop().time() < self._rests_until:
            return []
        try:
            file = await self._opened()
            async with asyncio.timeout(_WITHIN_S):
                async with file.execute(statement, values) as cursor:
                    return list(await cursor.fetchall())
        except (sqlite3.Error, OSError, TimeoutError) as exc:
            await self._give_up(str(exc) or "it does not answer in time")
            return []

    async def _opened(self) -> aiosqlite.Connection:
        async with self._opening, asyncio.timeout(_OPEN_WITHIN_S):
            if self._file is None:
                view = open_view(self._path, _SCHEMA)
                self._file = await self._stack.enter_async_context(view)
                self.problem = None
            return self._file

    async def _give_up(self, reason: str) -> None:
        """For a while, and then open it again: who finds it damaged mends it."""
        if self._file is None and self.problem is not None:
            return  # another statement has done so
        self._rests_until = asyncio.get_running_loop().time() + _TRY_AGAIN_S
        message = f"predictions are not kept on disk: {reason} ({self._path})"
        self.problem = Problem(code="disk", message=message)
        log.warning("predictions are not kept on disk", extra={"reason": reason})
        stack, self._stack, self._file = self._stack, AsyncExitStack(), None
        with suppress(sqlite3.Error, OSError):
            await stack.aclose()


class NoDisk:
    """In the place of a file where there is to be no cache."""

    problem: Problem | None = None

    async def find(self, record: ModelRecord, now: datetime) -> Prediction | None:
        return None

    async def keep(self, prediction: Prediction) -> None: ...

    async def forget(self, symbols: Collection[Symbol]) -> None: ...

    async def size(self) -> tuple[int, int]:
        return 0, 0


def _key(prediction: Prediction) -> tuple[str, str, str, int]:
    horizons = _listed(each.horizon for each in prediction.predictions)
    return prediction.symbol, horizons, prediction.model_version, to_ms(prediction.candle_at)


def _listed(horizons: Iterable[Horizon]) -> str:
    return ",".join(map(str, horizons))


def _checksum(body: bytes) -> int:
    return zlib.crc32(body, _FORMAT)


def _read(body: bytes, checksum: int) -> Prediction | None:
    if _checksum(body) != checksum:
        return None
    try:
        return codec.decode(body, Prediction)
    except (MalformedMessage, InvalidSymbol):
        return None
