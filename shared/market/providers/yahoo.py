"""Stocks, funds, currencies and coins of Yahoo Finance, through yfinance.

This module imports yfinance and with it pandas: 80 MB. Only the catalogue imports it, when the
settings ask for it.

Prices are adjusted for splits and dividends as of the moment in which they are fetched. A later
split or dividend changes what Yahoo tells of the past; what is stored stays as it is.
"""

import asyncio
import logging
import warnings
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import yfinance
from yfinance.data import YfData
from yfinance.exceptions import (
    YFException,
    YFPricesMissingError,
    YFRateLimitError,
    YFTzMissingError,
)

from shared.contracts.errors import Unavailable, UnknownSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle
from shared.market.checks import DAY_MS
from shared.market.providers.pause import Pause
from shared.market.providers.provider import MOST_PER_CALL
from shared.market.timestamps import stamp
from shared.runtime.clock import Clock, from_ms, to_ms

#: How far back Yahoo has them. The catalogue refuses the other timeframes: hours begin with the
#: exchange's opening, in New York at half past nine, and four hours it has not.
_KEPT_FOR: Final = {
    Timeframe.M1: timedelta(days=7),
    Timeframe.M5: timedelta(days=59),
    Timeframe.M15: timedelta(days=59),
    Timeframe.D1: timedelta(days=36_500),
}
#: Days of the calendar for each day on which stocks are traded.
_CALENDAR_DAYS: Final = 1.5
#: Tickers that are asked for beside each other. yfinance's own batch sends a request for each
#: ticker as well, and tells no reason for the ones that fail.
_AT_ONCE: Final = 4
_REQUEST_S: Final = 10.0
#: For the price history of one ticker, with the cookie and the time zone that come before it.
_CALL_S: Final = 45.0
#: Yahoo does not say how long it wants no requests.
_PAUSE_S: Final = 60.0
#: Significant digits: after the adjustment a close at the high may lie a rounding above it.
_DIGITS: Final = 9


@asynccontextmanager
async def open_yahoo(*, history: Callable[[], int], clock: Clock) -> AsyncIterator["Yahoo"]:
    """Nothing is asked yet. `history` says how many candles of the past a series is to have."""
    # What fails is told by an error; without this it is only logged.
    yfinance.config.debug.hide_exceptions = False
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="yfinance")
    threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="yahoo")
    try:
        yield Yahoo(threads, history=history, clock=clock)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


class Yahoo:
    """Yahoo Finance. Symbols are its tickers: `AAPL`, `BRK-B`, `THYAO.IS`, `BTC-USD`."""

    def __init__(
        self,
        threads: ThreadPoolExecutor,
        *,
        history: Callable[[], int],
        clock: Clock,
        session: object = None,
    ) -> None:
        """`session` is yfinance's HTTP client; with None it makes one that looks like a browser."""
        self._threads = threads
        self._history = history
        self._clock = clock
        self._session = session
        self._pause = Pause("Yahoo", clock)

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, after_ms: int | None
    ) -> list[Candle]:
        """Cancelled, or out of time, the request goes on in its thread until its own time limit."""
        await self._pause.passed()
        since_ms = self._since_ms(timeframe, after_ms)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CALL_S):
                rows = await loop.run_in_executor(
                    self._threads, self._fetched, symbol, timeframe, since_ms
                )
        except TimeoutError as exc:
            raise Unavailable(f"Yahoo did not answer within {_CALL_S:g} s") from exc
        except YFRateLimitError as exc:
            self._pause.begin(_PAUSE_S)
            raise Unavailable(f"Yahoo: {exc}") from exc
        except (YFTzMissingError, YFPricesMissingError) as exc:
            YfData.cache_get.cache_clear()
            raise UnknownSymbol(f"Yahoo has nothing of {symbol}: {exc.rationale}") from exc
        except (YFException, OSError, LookupError, TypeError, ValueError, AttributeError) as exc:
            # yfinance remembers answers, and does not look whether they are any good.
            YfData.cache_get.cache_clear()
            if _not_found(exc):
                raise UnknownSymbol(f"Yahoo has nothing of {symbol}") from exc
            raise Unavailable(f"Yahoo: {type(exc).__name__}: {str(exc)[:200]}") from exc
        new = [row for row in rows if after_ms is None or row.at_ms > after_ms]
        return [row for row in new if self._closed(row, timeframe)][:MOST_PER_CALL]

    def now_ms(self) -> int:
        return to_ms(self._clock())

    def symbols(self) -> tuple[Symbol, ...]:
        return ()

    def _since_ms(self, timeframe: Timeframe, after_ms: int | None) -> int:
        """The newest known candle is asked for again: an answer without any would be an error."""
        earliest_ms = self.now_ms() - round(_KEPT_FOR[timeframe].total_seconds() * 1000)
        if after_ms is None:
            days = -(-self._history() // timeframe.per_day) * _CALENDAR_DAYS
            after_ms = self.now_ms() - round(days * DAY_MS)
        return max(after_ms, earliest_ms)

    def _fetched(self, symbol: Symbol, timeframe: Timeframe, since_ms: int) -> list[Candle]:
        """Blocks. No end is given: yfinance would answer it from memory."""
        table = yfinance.Ticker(symbol, session=self._session).history(
            start=from_ms(since_ms),
            interval=timeframe.value,
            auto_adjust=True,
            actions=False,
            prepost=False,
            timeout=_REQUEST_S,
        )
        prices = table[["Open", "High", "Low", "Close", "Volume"]]
        return [_candle(timeframe, *row) for row in prices.itertuples()]

    def _closed(self, row: Candle, timeframe: Timeframe) -> bool:
        """Between two candles Yahoo tells of the last trade, as one that begins in that second."""
        return row.at_ms % timeframe.ms == 0 and row.at_ms + timeframe.ms <= self.now_ms()


def _not_found(exc: Exception) -> bool:
    """Whether it is the HTTP error 404, in either of the HTTP clients that yfinance may use."""
    return getattr(getattr(exc, "response", None), "status_code", None) == 404


def _candle(timeframe: Timeframe, at: object, *numbers: float) -> Candle:
    began = stamp(at)
    assert began is not None, at
    at_ms = began.day() if timeframe is Timeframe.D1 else began.utc_ms
    return Candle(at_ms, *(float(f"{number:.{_DIGITS}g}") for number in numbers))
