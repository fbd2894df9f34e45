"""The disk tier of the prediction cache, on a real disk."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from services.predictor.adapters import disk
from services.predictor.adapters.disk import PredictionFile
from shared.contracts.records import ModelRecord
from shared.contracts.symbols import Symbol
from tests.support.predicting import BTC, ETH, START, TTL, forecast, prediction, record

BOTH = (forecast(1), forecast(3))
SAID = prediction(BTC, *BOTH)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "predictor" / "predictions.sqlite"


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[PredictionFile]:
    async with PredictionFile(path, clock=lambda: START) as file:
        yield file


async def test_what_is_kept_is_found_after_a_restart(path: Path) -> None:
    async with opened(path) as file:
        await file.keep(SAID)
    async with opened(path) as file:
        assert await file.find(record(), START) == SAID
        assert file.problem is None


@pytest.mark.parametrize(
    ("asked", "at"),
    [
        (record(symbol=ETH), START),
        (record("v2"), START),
        (record(horizons=(1, 3, 7)), START),
        (record(), START + TTL),
    ],
    ids=["symbol", "version", "horizons", "expired"],
)
async def test_nothing_else_is_found(path: Path, asked: ModelRecord, at: datetime) -> None:
    async with opened(path) as file:
        await file.keep(SAID)
        assert await file.find(asked, at) is None


async def test_the_newest_candle_is_found_and_older_ones_make_room(path: Path) -> None:
    async with opened(path) as file:
        newer = replace(SAID, candle_at=START + timedelta(minutes=15))
        for each in (SAID, newer, replace(SAID, model_version="v0")):
            await file.keep(each)
        assert await file.find(record(), START) == newer
        assert await file.find(record("v0"), START) is not None
        assert (await file.size())[0] == 2


async def test_what_has_expired_is_gone_after_a_restart(path: Path) -> None:
    async with opened(path) as file:
        await file.keep(prediction(ETH, *BOTH, generated_at=START - 2 * TTL))
    async with opened(path) as file:
        assert (await file.size())[0] == 0


async def test_what_is_forgotten_is_gone(path: Path) -> None:
    async with opened(path) as file:
        await file.keep(SAID)
        await file.keep(prediction(ETH, *BOTH))
        await file.forget([BTC, Symbol("DOGE")])
        assert await file.find(record(), START) is None
        assert await file.find(record(symbol=ETH), START) is not None


async def test_predictors_may_share_one_file(path: Path) -> None:
    async with opened(path) as one, opened(path) as other:
        await one.keep(SAID)
        assert await other.find(record(), START) == SAID
        await other.keep(prediction(ETH, *BOTH))
        assert (await one.size())[0] == 2


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE predictions SET body = zeroblob(length(body))",
        "UPDATE predictions SET checksum = checksum + 1",
        "UPDATE predictions SET version = 'v2'",
        "UPDATE predictions SET candle_ms = candle_ms + 1",
    ],
    ids=["body", "checksum", "version", "candle"],
)
async def test_a_row_that_is_not_what_it_says_is_dropped_with_a_word(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path) as file:
        await file.keep(SAID)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(damage)
    async with opened(path) as file:
        for version in ("v1", "v2"):
            assert await file.find(record(version), START) is None
        assert (await file.size())[0] == 0
        assert len(caplog.messages) == 1
        await file.keep(SAID)
        assert await file.find(record(), START) == SAID


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE predictions (symbol TEXT PRIMARY KEY, prediction TEXT)",
        "CREATE VIEW predictions AS SELECT 1 AS symbol",
    ],
)
async def test_a_file_of_another_format_is_begun_anew(path: Path, schema: str) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(schema)
    async with opened(path) as file:
        await file.keep(SAID)
        assert await file.find(record(), START) == SAID


async def test_a_flipped_bit_anywhere_costs_at_most_what_was_kept(path: Path) -> None:
    async with opened(path) as file:
        for number in range(20):
            await file.keep(prediction(Symbol(f"S{number}"), *BOTH))
    whole = await asyncio.to_thread(path.read_bytes)
    for place in range(0, len(whole), len(whole) // 40):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        await asyncio.to_thread(path.write_bytes, damaged)
        async with opened(path) as file:
            for number in range(20):
                symbol = Symbol(f"S{number}")
                found = await file.find(record(symbol=symbol), START)
                assert found in (None, prediction(symbol, *BOTH))


async def test_a_disk_that_refuses_costs_this_tier_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_TRY_AGAIN_S", 0.0)
    path.parent.write_text("in the way")
    async with opened(path) as file:
        await file.keep(SAID)
        assert await file.find(record(), START) is None
        assert await file.size() == (0, 0)
        assert file.problem is not None
        assert "not kept on disk" in file.problem.message
        path.parent.unlink()
        await file.keep(SAID)
        assert await file.find(record(), START) == SAID
        assert file.problem is None


async def test_a_disk_that_refuses_is_not_asked_again_at_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.write_text("in the way")
    async with opened(path) as file:
        for _ in range(10):
            await file.keep(SAID)
        path.parent.unlink()
        await file.keep(SAID)
        assert await file.find(record(), START) is None
    assert len(caplog.messages) == 1


async def test_a_file_that_breaks_while_it_is_open_is_mended(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(disk, "_TRY_AGAIN_S", 0.0)
    async with opened(path) as file:
        await file.keep(SAID)
        with closing(sqlite3.connect(path)) as database:
            database.execute("DROP TABLE predictions")
        await file.keep(SAID)
        await file.keep(SAID)
        assert await file.find(record(), START) == SAID
    assert caplog.messages == ["predictions are not kept on disk"]
