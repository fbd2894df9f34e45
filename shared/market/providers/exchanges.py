"""Any exchange that ccxt knows.

This module imports ccxt, all exchanges of it: a second of CPU time and 80 MB. Only the catalogue
imports it, when the settings ask for an exchange.
"""

from asyncio import Lock
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import ccxt.async_support as ccxt

from shared.contracts.errors import InvalidSetting, Unavailable, UnknownSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle
from shared.market.providers.pause import Pause, header, http_date, retry_after_s
from shared.market.providers.provider import MOST_PER_CALL
from shared.runtime.clock import Clock, to_ms

T = TypeVar("T")

#: For one request; the list of all markets of a large exchange has some megabytes.
_REQUEST_MS: Final = 20_000
#: The candles of one page where ccxt does not know how many the exchange gives.
_PAGE: Final = 500
#: Exchanges correct a candle for a moment after its close.
_SETTLED_MS: Final = 2000
#: After a 429 that does not say how long to wait.
_PAUSE_S: Final = 10.0
#: How old the list of markets may be when a symbol is not in it, and how old a failure to get it.
_LISTED_FOR: Final = timedelta(hours=1)
_FAILED_FOR: Final = timedelta(seconds=30)


class Client(Protocol):
    """What is used of ccxt's exchanges."""

    id: str
    has: Mapping[str, object]
    timeframes: Mapping[str, str] | None
    markets: Mapping[str, Mapping[str, Any]] | None
    #: Of the answer that came last, whoever asked: to be read before anything else is awaited.
    last_response_headers: Mapping[str, str] | None
    last_json_response: object
    enableLastJsonResponse: bool  # noqa: N815 - ccxt's name

    async def fetch_markets(self) -> list[Any]: ...

    def set_markets(self, markets: list[Any]) -> object: ...

    def feature_value(self, symbol: str, method: str, parameter: str) -> int | None: ...

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int, limit: int
    ) -> list[list[Any]]: ...

    async def close(self) -> None: ...


@asynccontextmanager
async def open_exchange(
    name: str, *, timeframe: Timeframe, history: Callable[[], int], clock: Clock
) -> AsyncIterator["Exchange"]:
    """The exchange that ccxt calls `name`. Nothing is asked yet: it may be out of reach.

    `history` says how many candles of the past a series is to have.

    Raises:
        InvalidSetting: it has no such candles.
    """
    client: Client = getattr(ccxt, name)({"timeout": _REQUEST_MS})
    try:
        _require_candles(client, timeframe)
        yield Exchange(client, history=history, clock=clock)
    finally:
        await client.close()


def _require_candles(client: Client, timeframe: Timeframe) -> None:
    if client.has["fetchOHLCV"] is not True:
        raise InvalidSetting(f"DATA_PROVIDER=ccxt:{client.id}: it gives no candles of the past")
    there = [known for known in Timeframe if known in (client.timeframes or {})]
    if timeframe not in there:
        raise InvalidSetting(
            f"DATA_PROVIDER=ccxt:{client.id} has no {timeframe} candles: set TIMEFRAME to "
            f"{' or '.join(there) or 'something else'}"
        )


class Exchange:
    """One exchange, through ccxt's own client and within its rate limit.

    Symbols are written as ccxt writes them: `BTC/USDT`, and `BTC/USDT:USDT` for a perpetual future.
    """

    def __init__(self, client: Client, *, history: Callable[[], int], clock: Clock) -> None:
        client.enableLastJsonResponse = True
        self._client = client
        self._history = history
        self._clock = clock
        self._pause = Pause(client.id, clock)
        self._listing = Lock()
        self._list_again_at: datetime | None = None
        self._not_listed: Unavailable | None = None
        #: How far the local clock is ahead of the exchange's.
        self._ahead_ms = 0
        #: By what was asked for, where a stretch without any candle ended so far.
        self._nothing_until: dict[tuple[Symbol, Timeframe, int | None], int] = {}

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, after_ms: int | None
    ) -> list[Candle]:
        """One page. Some exchanges give only what is in the page's own stretch of time, so pages
        are asked for until one has candles. Cancelled, the next call goes on at the last of them.
        """
        market = await self._market(symbol)
        limit = self._client.feature_value(symbol, "fetchOHLCV", "limit") or _PAGE
        asked = (symbol, timeframe, after_ms)
        since_ms = self._nothing_until.get(asked) or self._first_ms(market, timeframe, after_ms)
        while since_ms + timeframe.ms <= self.now_ms():
            fetch = partial(self._client.fetch_ohlcv, symbol, timeframe.value, since_ms, limit)
            rows = await self._ask(partial(self._rows, fetch))
            if found := [row for row in rows if self._new_and_closed(row, timeframe, after_ms)]:
                self._nothing_until.pop(asked, None)
                return found[:MOST_PER_CALL]
            since_ms += limit * timeframe.ms
            self._nothing_until[asked] = since_ms
        self._nothing_until.pop(asked, None)
        return []

    def now_ms(self) -> int:
        return to_ms(self._clock()) - self._ahead_ms

    def symbols(self) -> tuple[Symbol, ...]:
        return ()

    def _first_ms(
        self, market: Mapping[str, Any], timeframe: Timeframe, after_ms: int | None
    ) -> int:
        if after_ms is not None:
            return after_ms + timeframe.ms
        first = (self.now_ms() // timeframe.ms - self._history()) * timeframe.ms
        listed: int = market.get("created") or 0
        return max(first, listed // timeframe.ms * timeframe.ms)

    def _new_and_closed(self, row: Candle, timeframe: Timeframe, after_ms: int | None) -> bool:
        """Also what is no candle at all passes: it is refused where all of them are checked."""
        if not isinstance(row.at_ms, int):
            return True
        closed_ms = row.at_ms + timeframe.ms
        unfinished = row.at_ms <= self.now_ms() < closed_ms + _SETTLED_MS
        return not unfinished and (after_ms is None or row.at_ms > after_ms)

    async def _rows(self, fetch: Callable[[], Awaitable[list[list[Any]]]]) -> list[Candle]:
        """Whatever is not six cells long fails here, where it is the exchange's fault."""
        rows = await fetch()
        if not rows and self._client.last_json_response is None:
            raise ValueError("no JSON")  # of which ccxt makes an empty page
        return [Candle(*row) for row in rows]

    async def _market(self, symbol: Symbol) -> Mapping[str, Any]:
        async with self._listing:
            if symbol not in (self._client.markets or ()) and self._may_list():
                await self._list_markets()
        markets: Mapping[str, Mapping[str, Any]] = self._client.markets or {}
        if symbol in markets:
            return markets[symbol]
        if not markets:
            raise self._not_listed or Unavailable(f"{self._client.id} lists no market")
        near = get_close_matches(symbol, markets, n=3)
        hint = f": it has {', '.join(near)}" if near else f", which has {len(markets)} markets"
        raise UnknownSymbol(f"{symbol} is not on {self._client.id}{hint}")

    def _may_list(self) -> bool:
        return self._list_again_at is None or self._clock() >= self._list_again_at

    async def _list_markets(self) -> None:
        """Not by ccxt's `load_markets`: it shares one task, which whoever is cancelled first
        cancels for all.
        """
        self._list_again_at = self._clock() + _FAILED_FOR
        try:
            markets = await self._ask(self._client.fetch_markets)
        except Unavailable as exc:
            self._not_listed = exc
            raise
        self._client.set_markets(markets)
        self._list_again_at = self._clock() + _LISTED_FOR

    async def _ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """Ask once, and once more after a pause that the exchange wanted."""
        try:
            return await self._ask_once(request)
        except _Paused:
            return await self._ask_once(request)

    async def _ask_once(self, request: Callable[[], Awaitable[T]]) -> T:
        await self._pause.passed()
        try:
            answer = await request()
        except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as exc:
            # Nothing was awaited since the answer came: these are its headers and no other's.
            wanted_s = retry_after_s(self._client.last_response_headers or {}, self._clock())
            self._pause.begin(_PAUSE_S if wanted_s is None else wanted_s)
            raise _Paused(_reason(exc)) from exc
        except ccxt.BadSymbol as exc:
            raise UnknownSymbol(_reason(exc)) from exc
        except ccxt.BaseError as exc:
            raise Unavailable(f"{self._client.id} gave no answer: {_reason(exc)}") from exc
        except (LookupError, TypeError, ValueError, AttributeError) as exc:
            raise Unavailable(
                f"{self._client.id} gave an answer that ccxt cannot read: {_reason(exc)}"
            ) from exc
        self._note_time(self._client.last_response_headers or {})
        return answer

    def _note_time(self, headers: Mapping[str, str]) -> None:
        """A local clock that is ahead would take a candle for closed that is not."""
        told: datetime | None = http_date(header(headers, "Date"))
        if told is not None:  # which says nothing of the fraction of its second
            self._ahead_ms = max(0, to_ms(self._clock()) - to_ms(told) - 1000)


class _Paused(Unavailable):
    """The exchange asked for a pause, which has begun."""


def _reason(exc: Exception) -> str:
    """One line, without the page of HTML that some exchanges send."""
    return f"{type(exc).__name__}: {' '.join(str(exc).split())[:200]}"
