import gzip
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.contracts.errors import CandlesRefused
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle
from shared.market.checks import Gap, Reason, Refusal
from shared.market.files import Batch, file_name, read_candles, write_candles

DAY = 86_400_000
NOW = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp() * 1000)
AT = int(datetime(2024, 1, 2, tzinfo=UTC).timestamp() * 1000)


def read(path: Path, symbol: str | None = None, timeframe: Timeframe | None = None) -> list[Batch]:
    asked = Symbol(symbol) if symbol else None
    return list(read_candles(path, symbol=asked, timeframe=timeframe, now_ms=NOW))


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def days(count: int) -> list[Candle]:
    """2024-01-02 was a Tuesday: the first four have no weekend between them."""
    return [
        Candle(AT + n * DAY, 10.0 + n, 12.5 + n, 9.25 + n, 11.0 + n, 100.0) for n in range(count)
    ]


HOURS = [c._replace(at_ms=AT + n * 3_600_000) for n, c in enumerate(days(3))]
QUIET = [c._replace(volume=0.0) for c in days(3)]

LAYOUTS = {
    "ours": (
        "X-1d.csv",
        """timestamp,open,high,low,close,volume
2024-01-02T00:00:00Z,10.0,12.5,9.25,11.0,100.0
2024-01-03T00:00:00Z,11.0,13.5,10.25,12.0,100.0
2024-01-04T00:00:00Z,12.0,14.5,11.25,13.0,100.0
""",
        days(3),
    ),
    "Yahoo's download page": (
        "X.csv",
        """Date,Open,High,Low,Close,Adj Close,Volume
2024-01-02,10.0,12.5,9.25,11.0,5.5,100
2024-01-03,11.0,13.5,10.25,12.0,6.0,100
2024-01-04,12.0,14.5,11.25,13.0,6.5,100
""",
        days(3),
    ),
    "yfinance history, with a zone": (
        "X.csv",
        """Date,Open,High,Low,Close,Volume,Dividends,Stock Splits
2024-01-02 00:00:00-05:00,10.0,12.5,9.25,11.0,100,0.0,0.0
2024-01-03 00:00:00-05:00,11.0,13.5,10.25,12.0,100,0.0,0.0
2024-01-04 00:00:00-05:00,12.0,14.5,11.25,13.0,100,0.0,0.0
""",
        days(3),
    ),
    "yfinance download, three header lines": (
        "whatever.csv",
        """Price,Close,High,Low,Open,Volume
Ticker,X,X,X,X,X
Date,,,,,
2024-01-02,11.0,12.5,9.25,10.0,100
2024-01-03,12.0,13.5,10.25,11.0,100
2024-01-04,13.0,14.5,11.25,12.0,100
""",
        days(3),
    ),
    "TradingView, without volume": (
        "NASDAQ_X, 1D.csv",
        """time,open,high,low,close
1704153600,10,12.5,9.25,11
1704240000,11,13.5,10.25,12
1704326400,12,14.5,11.25,13
""",
        QUIET,
    ),
    "Binance klines, with a header, in ms": (
        "X-1h-2024-01.csv",
        """open_time,open,high,low,close,volume,close_time,quote_volume,count
1704153600000,10.0,12.5,9.25,11.0,100.0,1704157199999,1.0,5
1704157200000,11.0,13.5,10.25,12.0,100.0,1704160799999,1.0,5
1704160800000,12.0,14.5,11.25,13.0,100.0,1704164399999,1.0,5
""",
        HOURS,
    ),
    "Binance klines, without a header, in us": (
        "X-1h-2024-01.csv",
        """1704153600000000,10.0,12.5,9.25,11.0,100.0,1704157199999999,1.0,5,1.0,1.0,0
1704157200000000,11.0,13.5,10.25,12.0,100.0,1704160799999999,1.0,5,1.0,1.0,0
1704160800000000,12.0,14.5,11.25,13.0,100.0,1704164399999999,1.0,5,1.0,1.0,0
""",
        HOURS,
    ),
    "CryptoDataDownload: a title, newest first, symbol column": (
        "Binance_XUSDT_1h.csv",
        """https://www.CryptoDataDownload.com
Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,tradecount
1704160800000,2024-01-02 02:00:00,X,12.0,14.5,11.25,13.0,100.0,1.0,5
1704157200000,2024-01-02 01:00:00,X,11.0,13.5,10.25,12.0,100.0,1.0,5
1704153600000,2024-01-02 00:00:00,X,10.0,12.5,9.25,11.0,100.0,1.0,5
""",
        HOURS,
    ),
    "freqtrade, as pandas writes it": (
        "X-1h.csv",
        """,date,open,high,low,close,volume
0,2024-01-02 00:00:00+00:00,10.0,12.5,9.25,11.0,100.0
1,2024-01-02 01:00:00+00:00,11.0,13.5,10.25,12.0,100.0
2,2024-01-02 02:00:00+00:00,12.0,14.5,11.25,13.0,100.0
""",
        HOURS,
    ),
    "MetaTrader: tabs, dots, date and time apart": (
        "X.csv",
        """<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>
2024.01.02\t00:00:00\t10.0\t12.5\t9.25\t11.0\t100
2024.01.02\t01:00:00\t11.0\t13.5\t10.25\t12.0\t100
2024.01.02\t02:00:00\t12.0\t14.5\t11.25\t13.0\t100
""",
        HOURS,
    ),
    "stooq": (
        "x.us.txt",
        """<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>
X,D,20240102,000000,10.0,12.5,9.25,11.0,100,0
X,D,20240103,000000,11.0,13.5,10.25,12.0,100,0
X,D,20240104,000000,12.0,14.5,11.25,13.0,100,0
""",
        days(3),
    ),
    "semicolons, quotes, Windows line ends and a byte order mark": (
        "X.csv",
        '\ufeff"Date";"Open";"High";"Low";"Close";"Volume"\r\n'
        '"2024-01-02";"10.0";"12.5";"9.25";"11.0";"100"\r\n'
        '"2024-01-03";"11.0";"13.5";"10.25";"12.0";"100"\r\n\r\n'
        '"2024-01-04";"12.0";"14.5";"11.25";"13.0";"100"',
        days(3),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts_of_common_exporters_are_read(layout: str, tmp_path: Path) -> None:
    name, text, candles = LAYOUTS[layout]
    (batch,) = read(written(tmp_path, name, text))
    assert batch.symbol == "X"
    assert batch.candles == candles
    assert batch.refused == []
    assert batch.timeframe.ms == candles[1].at_ms - candles[0].at_ms


def test_one_file_may_hold_many_symbols(tmp_path: Path) -> None:
    text = "date,open,high,low,close,volume,Name\n" + "".join(
        f"{day},10,12,9,11,5,{name}\n"
        for name in ("AAL", "brk-b")
        for day in ("2024-01-02", "2024-01-03")
    )
    batches = read(written(tmp_path, "all.csv", text))
    assert [(b.symbol, len(b.candles)) for b in batches] == [("AAL", 2), ("BRK-B", 2)]


def test_the_argument_goes_before_the_name_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "BTCUSDT-1d.csv", LAYOUTS["ours"][1])
    (batch,) = read(path, "BTC/USDT", Timeframe.H1)
    assert (batch.symbol, batch.timeframe) == ("BTC/USDT", Timeframe.H1)


BAD_ROWS = """timestamp,open,high,low,close,volume
2024-01-02,10,12,9,11,5
not a time,10,12,9,11,5
2024-01-03,ten,12,9,11,5
2024-01-03,10,12,9
2024-01-03,1_0,12,9,11,5
2024-01-03,nan,12,9,11,5
2024-01-03,10,1e400,9,11,5
2024-01-03,10,12,-9,11,5
2024-01-03,10,9,12,11,5
2024-01-03,13,12,9,11,5
2024-01-03 01:00,10,12,9,11,5
2024-01-02,10,12,9,11,6
2024-01-01,10,12,9,11,5
"2024-01-03,10,12,9,11,5

2024-01-04,10,12,9,11,5
2030-01-04,10,12,9,11,5
"""


def test_each_bad_row_is_refused_with_its_line_and_the_good_ones_are_given(tmp_path: Path) -> None:
    (batch,) = read(written(tmp_path, "X-1d.csv", BAD_ROWS))
    assert [c.at_ms for c in batch.candles] == [AT, AT + 2 * DAY]
    assert batch.gaps == [Gap(AT + DAY, AT + DAY, 1)]
    assert batch.refused == [
        Refusal(3, Reason.MALFORMED),
        Refusal(4, Reason.MALFORMED),
        Refusal(5, Reason.MALFORMED),
        Refusal(6, Reason.MALFORMED),
        Refusal(7, Reason.NOT_FINITE),
        Refusal(8, Reason.NOT_FINITE),
        Refusal(9, Reason.NEGATIVE),
        Refusal(10, Reason.HIGH_BELOW_LOW),
        Refusal(11, Reason.OUTSIDE_RANGE),
        Refusal(12, Reason.MISALIGNED_TIME),
        Refusal(13, Reason.DUPLICATE),
        Refusal(14, Reason.OUT_OF_ORDER),
        Refusal(15, Reason.MALFORMED),
        Refusal(18, Reason.FUTURE),
    ]


HEADER = "timestamp,open,high,low,close,volume\n"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("X-1d.csv", b"", "is empty"),
        ("X-1d.csv", b"\xef\xbb\xbf\n\n", "is empty"),
        ("X-1d.csv", HEADER, "has no rows"),
        ("X.csv", HEADER, "has no rows"),
        ("X.csv", "a,b,c,d,e,f\n1,2,3,4,5,6\n", "line 1: the columns are 'a', 'b'.* needed are"),
        ("X.csv", "<html>\n<body>\n", "not a table of candles: it begins with '<html>'"),
        ("X.csv", "word\n" * 5000, "not a table of candles"),
        ("X.csv", bytes(range(256)) * 40, "line 1: holds a NUL byte"),
        ("X-1d.csv", HEADER.encode() + b"\0" * 300, "line 2: holds a NUL byte"),
        ("X-1d.csv", HEADER.encode() + b"2024-01-02,1,1,1,1,\xff\n", "line 2: is not UTF-8"),
        ("X.csv", b"," * 100_000, "line 1: longer than 65536 bytes"),
        ("X.csv", gzip.compress(b"timestamp", mtime=0), "is compressed"),
        ("X.csv", b"PAR1" + bytes(20), "is a Parquet file"),
        ("X.csv", b"ARROW1\0\0", "is a Feather file"),
        ("X.csv", "timestamp".encode("utf-16"), "is UTF-16"),
        ("X.csv", HEADER + "2024-01-02,1,1,1,1,1\n", "too few rows to tell the timeframe"),
        ("X.csv", HEADER + "0,1,1,1,1,1\n120,1,1,1,1,1\n", "every 120 s, which is none of 1m, 5m"),
        ("X.csv", HEADER + "x,1,1,1,1,1\n", "no row that can be used: line 2 is malformed"),
        ("X-1d.csv", HEADER + "x,1,1,1,1,1\n", "no row that can be used: line 2 is malformed"),
        ("X-1d.csv", HEADER + "2024-01-02,1,1,1,1,-1\n", "no row .*: line 2 is negative"),
        ("my file.csv", HEADER + "2024-01-02,1,1,1,1,1\n", "tells no symbol"),
        ("X.parquet", b"", "is not a Parquet file"),
        ("X.parquet", HEADER, "is not a Parquet file"),
        ("X.parquet", b"PAR1" + bytes(100) + b"PAR1", "is a damaged Parquet file"),
        ("X.parquet", b"PAR1junkjunkjunk\xff\xff\xff\x7fPAR1", "is a damaged Parquet file"),
    ],
)
def test_a_hostile_file_is_refused_by_name(
    name: str, content: str | bytes, said: str, tmp_path: Path
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(CandlesRefused, match=said) as refused:
        read(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CandlesRefused, match="No such file"):
        read(tmp_path / "X.csv")
    with pytest.raises(CandlesRefused, match="directory"):
        read(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(content=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_any_bytes_are_read_or_refused(content: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, "X-1d.csv", HEADER.encode() + content)
    try:
        batches = read(path)
    except CandlesRefused:
        return
    assert any(batch.candles for batch in batches)


def test_a_long_file_comes_in_batches_without_losing_the_seams(tmp_path: Path) -> None:
    step = Timeframe.M1.ms
    candles = [Candle(AT + n * step, 1.0, 1.0, 1.0, 1.0, float(n)) for n in range(10_000)]
    del candles[4096]
    path = tmp_path / "X-1m.csv"
    write_candles(path, [*candles, candles[5000]])
    batches = read(path)
    assert [c for batch in batches for c in batch.candles] == candles
    assert max(len(batch.candles) for batch in batches) == 4096
    assert [g for batch in batches for g in batch.gaps] == [
        Gap(AT + 4096 * step, AT + 4096 * step, 1)
    ]
    assert batches[-1].refused == [Refusal(10_001, Reason.OUT_OF_ORDER)]


def test_a_file_of_garbage_rows_is_given_up_before_it_fills_memory(tmp_path: Path) -> None:
    path = written(tmp_path, "X-1d.csv", HEADER + "x,1,1,1,1,1\n" * 100_001)
    with pytest.raises(CandlesRefused, match="line 100002: 100000 unreadable rows on end"):
        read(path)


prices = st.floats(min_value=1e-300, max_value=1e300)
sound = st.builds(
    lambda n, a, b, c, d, volume: Candle(
        n * DAY, a, max(a, b, c, d), min(a, b, c, d), b, volume
    ),
    st.integers(-30_000, 20_000), prices, prices, prices, prices, st.floats(0.0, 1e300),
)  # fmt: skip


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(candles=st.lists(sound, min_size=1, max_size=20, unique_by=lambda c: c.at_ms))
def test_what_was_written_reads_back_to_the_last_bit(
    suffix: str, candles: list[Candle], tmp_path: Path
) -> None:
    path = (tmp_path / file_name(Symbol("BTC/USDT"), Timeframe.D1)).with_suffix(suffix)
    candles.sort()
    assert write_candles(path, candles) == len(candles)
    (batch,) = read(path)
    assert (batch.symbol, batch.timeframe) == ("BTC/USDT", Timeframe.D1)
    assert batch.candles == candles
    assert batch.refused == []


def test_a_failed_export_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "X-1d.csv"
    write_candles(path, days(2))
    before = path.read_bytes()

    def breaking() -> list[Candle]:
        raise CandlesRefused("the store is gone")

    with pytest.raises(CandlesRefused, match="the store is gone"):
        write_candles(path, (candle for _ in range(2) for candle in breaking()))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_export_to_a_missing_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(CandlesRefused, match=r"nowhere/X\.csv: No such file"):
        write_candles(tmp_path / "nowhere" / "X.csv", days(2))


def test_parquet_of_pandas_with_its_index_and_zone_is_read(tmp_path: Path) -> None:
    import fastparquet
    import pandas

    frame = pandas.DataFrame.from_records(days(3), columns=["date", *Candle._fields[1:]])
    frame["date"] = pandas.to_datetime(frame["date"], unit="ms")
    frame["pair"] = "x/usdt"
    frame.loc[1, "volume"] = float("nan")
    path = tmp_path / "candles.parquet"
    fastparquet.write(str(path), frame.set_index("date"), stats=False)
    (batch,) = read(path)
    assert (batch.symbol, batch.timeframe) == ("X/USDT", Timeframe.D1)
    assert batch.candles == [days(3)[0], days(3)[2]]
    assert batch.refused == [Refusal(2, Reason.NOT_FINITE)]


def test_parquet_without_the_extra_says_which_one_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "X-1d.parquet", b"PAR1")
    monkeypatch.setitem(sys.modules, "fastparquet", None)
    with pytest.raises(CandlesRefused, match=r"pip install 'evertrain\[files\]'"):
        read(path)
    with pytest.raises(CandlesRefused, match=r"pip install 'evertrain\[files\]'"):
        write_candles(path, days(1))
