import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.errors import CandlesRefused
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.files import file_name
from shared.market.layout import Layout, looks_like_klines, named, recognise

FIVE = Layout(time=0, prices=(1, 2, 3, 4), volume=5)


@pytest.mark.parametrize(
    ("header", "layout"),
    [
        ("timestamp,open,high,low,close,volume", FIVE),
        (
            "Date,Open,High,Low,Close,Adj Close,Volume",
            Layout(time=0, prices=(1, 2, 3, 4), volume=6),
        ),
        ("time,open,high,low,close", Layout(time=0, prices=(1, 2, 3, 4))),
        (",Open,High,Low,Close,Volume", FIVE),
        ("Unnamed: 0,o,h,l,c,v", FIVE),
        ("Open time,Open,High,Low,Close,Volume,Close time", FIVE),
        (
            "date,open,high,low,close,volume,Name",
            Layout(time=0, prices=(1, 2, 3, 4), volume=5, symbol=6),
        ),
        ("timestamp,1. open,2. high,3. low,4. close,5. volume", FIVE),
        (
            "unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT",
            Layout(time=0, prices=(3, 4, 5, 6), volume=7, symbol=2),
        ),
        (
            "<TICKER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>",
            Layout(time=1, clock=2, prices=(3, 4, 5, 6), volume=7, symbol=0),
        ),
    ],
)
def test_the_columns_of_common_exporters_are_recognised(header: str, layout: Layout) -> None:
    assert recognise(header.split(",")) == layout


def test_an_unknown_layout_says_what_was_found_and_what_is_needed() -> None:
    with pytest.raises(CandlesRefused, match=r"'day', 'price', 'x'; needed are a time .* close"):
        recognise(["day", "price", "x"])


def test_two_columns_of_one_price_are_refused() -> None:
    with pytest.raises(CandlesRefused, match="'close' is there 2 times"):
        recognise(["Date", "Open", "High", "Low", "Close", "Close"])


def test_klines_without_a_header_are_told_from_a_header() -> None:
    assert looks_like_klines(["1704067200000", "1.0", "2.0", "0.5", "1.5", "100", "1704067259999"])
    assert not looks_like_klines(["timestamp", "open", "high", "low", "close", "volume"])
    assert not looks_like_klines(["1704067200000", "1.0", "2.0"])


@pytest.mark.parametrize(
    ("stem", "symbol", "timeframe"),
    [
        ("BTC_USDT-15m", "BTC/USDT", Timeframe.M15),
        ("BTCUSDT", "BTCUSDT", None),
        ("btcusdt_1h", "BTCUSDT", Timeframe.H1),
        ("BTCUSDT-1d-2026-11", "BTCUSDT", Timeframe.D1),
        ("BTC_USDT_USDT-4h-futures", "BTC/USDT/USDT", Timeframe.H4),
        ("THYAO.IS", "THYAO.IS", None),
        ("BRK-B", "BRK-B", None),
        ("BRK-B-1d", "BRK-B", Timeframe.D1),
        ("BINANCE_BTCUSDT, 240", "BTCUSDT", Timeframe.H4),
        ("NASDAQ_AAPL, 1D_a3f91", "AAPL", Timeframe.D1),
        ("my candles", None, None),
        ("my candles-5m", None, Timeframe.M5),
    ],
)
def test_a_file_name_tells_symbol_and_timeframe(
    stem: str, symbol: str | None, timeframe: Timeframe | None
) -> None:
    assert named(stem) == (symbol, timeframe)


@given(st.from_regex(r"[A-Z0-9][A-Z0-9./:-]{0,31}", fullmatch=True), st.sampled_from(Timeframe))
def test_an_exported_file_is_named_so_that_it_is_known_again(
    symbol: str, timeframe: Timeframe
) -> None:
    stem = file_name(Symbol(symbol), timeframe).removesuffix(".csv")
    assert named(stem) == (symbol, timeframe)
