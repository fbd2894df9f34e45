"""Real daily candles, replayed faster than life.

The data are AAPL, GOOG, IBM and MSFT up to 1 March 2013, from the PyPI package `bokeh_sampledata`
(`stocks.csv.gz`). Source, as the package's licence inventory has it: Quandl WIKI Prices, in an
archived copy supplied by marketneutral on Kaggle. Licence: public domain; the archived Quandl
publisher page declares it so and explicitly permits copying, distribution and inclusion in
commercial or noncommercial products. The prices are supplied as they are, without a guarantee of
accuracy. GOOG is Google's history from before 2014, which the source files under GOOGL.

Prices are not adjusted: AAPL halves by splits on 2000-06-21 and 2005-02-28 and MSFT on 2003-02-18.
All of them are more than three years before the day on which the replay begins. FB is left out
because it has 196 days only.
"""

import asyncio
import csv
import gzip
import io
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Final, Self

from shared.contracts.errors import InvalidSetting, UnknownSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle
from shared.market.checks import DAY_MS
from shared.market.providers.provider import MOST_PER_CALL
from shared.market.timestamps import stamp
from shared.runtime.clock import Clock

SYMBOLS: Final = (Symbol("AAPL"), Symbol("GOOG"), Symbol("IBM"), Symbol("MSFT"))
#: Real seconds from one trading day to the next.
STEP_S: Final = 3.0
#: Every symbol has at least so many candles when the replay begins: enough to train on.
_HISTORY: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayClock:
    """A clock that steps from the close of one trading day to that of the next, and stops behind
    the last.

    `days` are their open times in ms, ascending; `position` is the newest day that had closed at
    `started_at`. Nights, weekends and holidays take no time.
    """

    days: Sequence[int]
    position: int
    started_at: datetime
    step_s: float

    def now_ms(self, now: datetime) -> int:
        steps = max(0, int((now - self.started_at).total_seconds() / self.step_s))
        return self.days[min(self.position + steps, len(self.days) - 1)] + DAY_MS


class Replay:
    """The bundled market. The same wall clock gives the same candles."""

    def __init__(
        self, series: Mapping[Symbol, Sequence[Candle]], market: ReplayClock, clock: Clock
    ) -> None:
        self._series = series
        self._market = market
        self._clock = clock

    @classmethod
    async def open(
        cls, *, resume_after_ms: int | None, clock: Clock, step_s: float = STEP_S
    ) -> Self:
        """Begin at the close of `resume_after_ms`, the open time of the newest candle stored, so
        that a restart goes on where the last run stopped. With None, or anything earlier than the
        first day of the replay, begin there.

        Raises:
            InvalidSetting: the data package is not installed.
        """
        series = await asyncio.to_thread(_load)
        market = ReplayClock(
            days=(days := _days(series)),
            position=_position(series, days, resume_after_ms),
            started_at=clock(),
            step_s=step_s,
        )
        return cls(series, market, clock)

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, after_ms: int | None
    ) -> list[Candle]:
        if timeframe is not Timeframe.D1:
            raise InvalidSetting(f"DATA_PROVIDER=replay has no {timeframe} candles, only 1d")
        if symbol not in self._series:
            raise UnknownSymbol(f"{symbol} is not in the replay: it has {', '.join(self._series)}")
        series = self._series[symbol]
        start = 0 if after_ms is None else bisect_right(series, after_ms, key=_opened)
        end = bisect_right(series, self.now_ms() - DAY_MS, key=_opened)
        return list(series[start : min(end, start + MOST_PER_CALL)])

    def now_ms(self) -> int:
        return self._market.now_ms(self._clock())

    def symbols(self) -> tuple[Symbol, ...]:
        return tuple(self._series)


def _load() -> dict[Symbol, list[Candle]]:
    try:
        packed = (resources.files("bokeh_sampledata") / "_data" / "stocks.csv.gz").read_bytes()
    except ModuleNotFoundError as exc:
        raise InvalidSetting(
            "DATA_PROVIDER=replay needs bokeh_sampledata: pip install 'evertrain[demo]'"
        ) from exc
    series: dict[Symbol, list[Candle]] = {symbol: [] for symbol in SYMBOLS}
    for row in csv.DictReader(io.StringIO(gzip.decompress(packed).decode("ascii"))):
        if row["Ticker"] in series:
            series[Symbol(row["Ticker"])].append(_candle(row))
    return series


def _candle(row: Mapping[str, str]) -> Candle:
    at = stamp(row["Date"])
    assert at is not None, row
    numbers = (float(row[name]) for name in ("Open", "High", "Low", "Close", "Volume"))
    return Candle(at.utc_ms, *numbers)


def _days(series: Mapping[Symbol, Sequence[Candle]]) -> list[int]:
    return sorted({candle.at_ms for candles in series.values() for candle in candles})


def _position(
    series: Mapping[Symbol, Sequence[Candle]], days: Sequence[int], resume_after_ms: int | None
) -> int:
    first = max(candles[_HISTORY - 1].at_ms for candles in series.values())
    return bisect_right(days, max(first, resume_after_ms or first)) - 1


def _opened(candle: Candle) -> int:
    return candle.at_ms
