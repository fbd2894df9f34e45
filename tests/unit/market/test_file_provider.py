import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.contracts.errors import InvalidSetting, Unavailable, UnknownSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle
from shared.market.files import Batch, read_candles, write_candles
from shared.market.providers.files import Files, open_files
from shared.market.providers.provider import MOST_PER_CALL

NOW = datetime(2026, 11, 20, tzinfo=UTC)
LONG_AGO = (NOW - timedelta(days=1)).timestamp()
AT = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
M1, M15 = Timeframe.M1, Timeframe.M15
BTC = Symbol("BTC/USDT")


def minutes(start: int, count: int) -> list[Candle]:
    return [
        Candle(AT + n * M1.ms, 1.0, 2.0, 0.5, 1.5, float(n)) for n in range(start, start + count)
    ]


def settled(path: Path, candles: list[Candle], at: float = LONG_AGO) -> None:
    write_candles(path, candles)
    os.utime(path, (at, at))


@pytest.fixture
async def closing() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def opened(folder: Path, closing: AsyncExitStack) -> Files:
    return await closing.enter_async_context(open_files(folder, clock=lambda: NOW))


async def test_a_series_may_be_spread_over_many_files(
    tmp_path: Path, closing: AsyncExitStack
) -> None:
    settled(tmp_path / "BTC_USDT-1m-2.csv", minutes(5, 5))
    settled(tmp_path / "BTC_USDT-1m-1.parquet", minutes(0, 6))
    settled(tmp_path / "AAPL-1d.csv", [minutes(0, 1)[0]])
    (tmp_path / "notes.md").write_text("not candles")
    provider = await opened(tmp_path, closing)
    assert provider.symbols() == ("AAPL", "BTC/USDT")
    assert provider.now_ms() == int(NOW.timestamp() * 1000)
    assert await provider.candles(BTC, M1, None) == minutes(0, 10)
    assert await provider.candles(BTC, M1, AT + 6 * M1.ms) == minutes(7, 3)
    assert await provider.candles(BTC, M1, AT + 9 * M1.ms) == []


async def test_many_candles_come_in_several_calls(tmp_path: Path, closing: AsyncExitStack) -> None:
    settled(tmp_path / "BTC_USDT-1m-1.csv", minutes(0, 6000))
    settled(tmp_path / "BTC_USDT-1m-2.csv", minutes(6000, 6000))
    provider = await opened(tmp_path, closing)
    found: list[Candle] = []
    while rows := await provider.candles(BTC, M1, found[-1].at_ms if found else None):
        assert len(rows) <= MOST_PER_CALL
        found += rows
    assert found == minutes(0, 12_000)


async def test_a_file_is_read_again_when_it_changes(
    tmp_path: Path, closing: AsyncExitStack
) -> None:
    path = tmp_path / "BTC_USDT-1m.csv"
    settled(path, minutes(0, 3))
    provider = await opened(tmp_path, closing)
    assert await provider.candles(BTC, M1, AT + 2 * M1.ms) == []
    settled(path, minutes(0, 5))
    assert await provider.candles(BTC, M1, AT + 2 * M1.ms) == minutes(3, 2)


async def test_a_file_that_is_new_is_found_and_one_that_is_gone_forgotten(
    tmp_path: Path, closing: AsyncExitStack
) -> None:
    provider = await opened(tmp_path, closing)
    with pytest.raises(UnknownSymbol, match=r"BTC/USDT \(1m\) is in no file of"):
        await provider.candles(BTC, M1, None)
    path = tmp_path / "BTC_USDT-1m.csv"
    settled(path, minutes(0, 3))
    assert await provider.candles(BTC, M1, None) == minutes(0, 3)
    with pytest.raises(UnknownSymbol):
        await provider.candles(BTC, M15, None)
    path.unlink()
    with pytest.raises(UnknownSymbol):
        await provider.candles(BTC, M1, None)


async def test_a_file_in_writing_is_left_for_the_next_time(
    tmp_path: Path, closing: AsyncExitStack
) -> None:
    settled(tmp_path / "BTC_USDT-1m.csv", minutes(0, 3), at=NOW.timestamp() - 1)
    provider = await opened(tmp_path, closing)
    assert provider.symbols() == ()


async def test_a_broken_file_is_logged_once_and_stops_no_other(
    tmp_path: Path, closing: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "AAPL-1d.csv"
    broken.write_bytes(b"\0" * 100)
    os.utime(broken, (LONG_AGO, LONG_AGO))
    settled(tmp_path / "BTC_USDT-1m.csv", [*minutes(0, 3), minutes(0, 1)[0]])
    with caplog.at_level(logging.WARNING):
        provider = await opened(tmp_path, closing)
        assert await provider.candles(BTC, M1, None) == minutes(0, 3)
        assert await provider.candles(BTC, M1, AT + 2 * M1.ms) == []
    assert [r.message for r in caplog.records] == ["candle file refused", "candles refused"]


async def test_a_directory_that_is_not_there_is_a_wrong_setting(
    tmp_path: Path, closing: AsyncExitStack
) -> None:
    with pytest.raises(InvalidSetting, match=r"DATA_PROVIDER=files:.*nowhere"):
        await opened(tmp_path / "nowhere", closing)


async def test_a_directory_that_goes_away_may_come_back(
    tmp_path: Path, closing: AsyncExitStack
) -> None:
    folder = tmp_path / "candles"
    folder.mkdir()
    provider = await opened(folder, closing)
    folder.rmdir()
    with pytest.raises(Unavailable, match="candles cannot be read"):
        await provider.candles(BTC, M1, None)


async def test_a_file_of_many_symbols_is_read_once(
    tmp_path: Path, closing: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("2023", "2024")):
        rows = "".join(
            f"{candle.at_ms},S{symbol},1,2,0.5,1.5,1\n"
            for symbol in range(5)
            for candle in minutes(100 * number, 100)
        )
        path = tmp_path / f"{name}.csv"
        path.write_text("timestamp,symbol,open,high,low,close,volume\n" + rows)
        os.utime(path, (LONG_AGO, LONG_AGO))
    read: list[Path] = []

    def counted(path: Path, *, now_ms: int) -> Iterator[Batch]:
        read.append(path)
        return read_candles(path, now_ms=now_ms)

    monkeypatch.setattr("shared.market.providers.files.read_candles", counted)
    provider = await opened(tmp_path, closing)
    for symbol in provider.symbols():
        candles = await provider.candles(symbol, M1, None)
        assert len(candles) == 200
        assert await provider.candles(symbol, M1, candles[-1].at_ms) == []
    assert sorted(path.stem for path in read) == ["2023", "2024"]


async def test_what_was_kept_of_a_file_goes_with_it(
    tmp_path: Path, closing: AsyncExitStack
) -> None:
    path = tmp_path / "BTC_USDT-1m.csv"
    settled(path, minutes(0, 3))
    async with open_files(tmp_path, clock=lambda: NOW) as provider:
        kept = provider._kept
        settled(path, minutes(0, 5))
        await provider.candles(BTC, M1, None)
        assert len(list(kept.iterdir())) == 1
    assert not kept.exists()
