"""Which column holds what: the table layouts of the common exporters, and what file names tell."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.contracts.errors import CandlesRefused, InvalidSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.timestamps import stamp

#: Names of the time column, best first: a count of seconds or ms says more than a local date.
_TIME: Final = (
    "opentime", "opentimestamp", "timestamp", "timestampms", "unix", "unixtime", "unixtimestamp",
    "epoch", "ts", "datetime", "date", "time", "index", "unnamed:0", "",
)  # fmt: skip
_NAMES: Final = {
    "open": ("open", "openprice", "o"),
    "high": ("high", "highprice", "h"),
    "low": ("low", "lowprice", "l"),
    "close": ("close", "closeprice", "close/last", "last", "c"),
}
_VOLUME: Final = ("volume", "basevolume", "vol", "v", "tickvol")
_SYMBOL: Final = ("symbol", "ticker", "pair", "instrument", "market", "asset", "name")
_NOISE: Final = re.compile(r"^\d+\.\s*|[\s_<>\ufeff-]")
_WANTED: Final = (
    "a time (timestamp, date, open_time, ...), open, high, low, close and, if known, volume"
)

_WITH_TIMEFRAME: Final = re.compile(r"(.+?)[-_ ](1m|5m|15m|1h|4h|1d)(?:[-_ ].*)?")
_TRADINGVIEW: Final = re.compile(r"[A-Z0-9]+_(.+), (1|5|15|60|240|1D)(?:_[0-9a-f]+)?")
_TRADINGVIEW_TIMEFRAMES: Final = {
    "1": Timeframe.M1,
    "5": Timeframe.M5,
    "15": Timeframe.M15,
    "60": Timeframe.H1,
    "240": Timeframe.H4,
    "1D": Timeframe.D1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Column numbers. `clock` is the time of day where `time` holds the date alone; without
    `volume` the volume is 0; `prices` are open, high, low and close.
    """

    time: int
    prices: tuple[int, int, int, int]
    clock: int | None = None
    volume: int | None = None
    symbol: int | None = None

    @property
    def columns(self) -> list[int]:
        """Every column that is read, in ascending order."""
        optional = (self.clock, self.volume, self.symbol)
        return sorted({self.time, *self.prices, *(n for n in optional if n is not None)})


#: Klines without a header, as Binance, ccxt and Kraken write them; what follows is not needed.
KLINES: Final = Layout(time=0, prices=(1, 2, 3, 4), volume=5)


def recognise(header: Sequence[str]) -> Layout:
    """The layout behind a header; case, blanks and underscores do not matter.

    Raises:
        CandlesRefused: a column is missing, or there are two of a price.
    """
    names = [_NOISE.sub("", name).lower() for name in header]
    time = next((names.index(name) for name in _TIME if name in names), None)
    prices = [_only(names, aliases) for aliases in _NAMES.values()]
    opened, high, low, close = prices
    if time is None or opened is None or high is None or low is None or close is None:
        raise CandlesRefused(f"the columns are {_listed(header)}; needed are {_WANTED}")
    separate = names[time] == "date" and "time" in names
    return Layout(
        time=time,
        clock=names.index("time") if separate else None,
        prices=(opened, high, low, close),
        volume=_volume(names),
        symbol=_first(names, _SYMBOL),
    )


def looks_like_klines(cells: Sequence[str]) -> bool:
    """Whether a first line is already data: a time, then five numbers."""
    return len(cells) >= 6 and stamp(cells[0]) is not None and all(map(_is_number, cells[1:6]))


def named(stem: str) -> tuple[Symbol | None, Timeframe | None]:
    """Symbol and timeframe from a file's name without its suffix, as far as it tells them.

    `BTC_USDT-15m`, `BTCUSDT-1h-2026-11`, `THYAO.IS`, and TradingView's `BINANCE_BTCUSDT, 15`.
    """
    timeframe = None
    if found := _TRADINGVIEW.fullmatch(stem):
        stem, timeframe = found[1], _TRADINGVIEW_TIMEFRAMES[found[2]]
    elif found := _WITH_TIMEFRAME.fullmatch(stem):
        stem, timeframe = found[1], Timeframe(found[2])
    try:
        return Symbol.from_path(stem.upper()), timeframe
    except InvalidSymbol:
        return None, timeframe


def _only(names: Sequence[str], aliases: Sequence[str]) -> int | None:
    number = _first(names, aliases)
    if number is not None and names.count(names[number]) > 1:
        raise CandlesRefused(
            f"the column {names[number]!r} is there {names.count(names[number])} times: "
            f"one file holds one price per row"
        )
    return number


def _volume(names: Sequence[str]) -> int | None:
    """Some exporters name the currency: the first of `Volume BTC` and `Volume USDT` is meant."""
    number = _first(names, _VOLUME)
    if number is not None:
        return number
    return next((n for n, name in enumerate(names) if name.startswith("volume")), None)


def _first(names: Sequence[str], aliases: Sequence[str]) -> int | None:
    return next((names.index(name) for name in aliases if name in names), None)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _listed(header: Sequence[str]) -> str:
    return ", ".join(repr(name[:30]) for name in header[:20]) or "none"
