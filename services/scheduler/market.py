"""Keeping the candle store up to date: what the provider has and the store has not."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from shared.contracts.errors import AppError, Unavailable
from shared.contracts.events import CandlesUpdated, Event
from shared.contracts.records import CandleSummary, Problem, Universe
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle
from shared.market.checks import check
from shared.market.store import Appended
from shared.runtime.clock import Clock, from_ms

log = logging.getLogger(__name__)

#: Symbols that are updated beside each other; a slow one delays no other.
_AT_ONCE = 16
#: A provider that is silent for so long gives nothing this time.
_PAGE_S = 60.0


class Provider(Protocol):
    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, after_ms: int | None
    ) -> list[Candle]:
        """Closed candles after `after_ms`, oldest first, a bounded number at a time."""

    def now_ms(self) -> int:
        """The market's clock, which is not the wall clock when the past is replayed."""


class Store(Protocol):
    """Every verb may raise Unavailable."""

    async def newest(self, symbol: Symbol, timeframe: Timeframe) -> int | None: ...

    async def append(
        self, symbol: Symbol, timeframe: Timeframe, candles: Sequence[Candle]
    ) -> Appended: ...

    async def summaries(self, *, now_ms: int) -> list[CandleSummary]: ...


class Outlet(Protocol):
    async def emit(self, fact: Event) -> None: ...


class Market:
    """The candles of the universe."""

    def __init__(self, provider: Provider, store: Store, outlet: Outlet, clock: Clock) -> None:
        self._provider = provider
        self._store = store
        self._outlet = outlet
        self._clock = clock
        self._problems: dict[tuple[Symbol, Timeframe], Problem] = {}

    async def update(self, universe: Universe) -> None:
        """Bring every symbol up to date. What goes wrong with one is that symbol's problem."""
        free = asyncio.Semaphore(_AT_ONCE)

        async def one(symbol: Symbol) -> None:
            async with free:
                await self._update_or_note(symbol, universe.timeframe)

        async with asyncio.TaskGroup() as group:
            for symbol in universe.symbols:
                group.create_task(one(symbol))

    async def summaries(self) -> list[CandleSummary]:
        """Every stored series, with what went wrong at its last update; then the series of which
        there is nothing but that.
        """
        stored = await self._store.summaries(now_ms=self._provider.now_ms())
        named = {(series.symbol, series.timeframe): series for series in stored}
        named |= {name: _nothing(*name) for name in self._problems if name not in named}
        return [replace(named[name], error=self._problems.get(name)) for name in named]

    async def _update_or_note(self, symbol: Symbol, timeframe: Timeframe) -> None:
        try:
            await self._update(symbol, timeframe)
            self._problems.pop((symbol, timeframe), None)
        except AppError as exc:
            self._problems[symbol, timeframe] = Problem(code=exc.code, message=str(exc))
            log.warning("no candles", extra={"symbol": symbol, "reason": str(exc)})

    async def _update(self, symbol: Symbol, timeframe: Timeframe) -> None:
        """Page by page; what was stored is told even if a later page does not come."""
        after = await self._store.newest(symbol, timeframe)
        added, newest = 0, None
        try:
            while rows := await self._page(symbol, timeframe, after):
                added += (await self._store.append(symbol, timeframe, rows)).added
                newest = rows[-1]
                after = newest.at_ms
        finally:
            if newest is not None:
                await self._outlet.emit(self._updated(symbol, timeframe, newest, added))

    async def _page(self, symbol: Symbol, timeframe: Timeframe, after: int | None) -> list[Candle]:
        """The provider's next candles, without those that are refused."""
        try:
            async with asyncio.timeout(_PAGE_S):
                rows = await self._provider.candles(symbol, timeframe, after)
        except TimeoutError as exc:
            raise Unavailable(f"the provider did not answer within {_PAGE_S:g} s") from exc
        checked = check(rows, timeframe=timeframe, after=after, now_ms=self._provider.now_ms())
        for refusal in checked.refused:
            log.warning(
                "candle refused",
                extra={"symbol": symbol, "row": refusal.row, "reason": refusal.reason},
            )
        return checked.accepted

    def _updated(
        self, symbol: Symbol, timeframe: Timeframe, newest: Candle, added: int
    ) -> CandlesUpdated:
        return CandlesUpdated(
            id=f"candles.updated:{symbol}:{timeframe}:{newest.at_ms}",
            at=self._clock(),
            symbol=symbol,
            timeframe=timeframe,
            added=added,
            candle_at=from_ms(newest.at_ms),
            open=newest.open,
            high=newest.high,
            low=newest.low,
            close=newest.close,
            volume=newest.volume,
        )


def _nothing(symbol: Symbol, timeframe: Timeframe) -> CandleSummary:
    return CandleSummary(
        symbol=symbol, timeframe=timeframe, first=None, last=None, rows=0, gaps=0, lag_s=None
    )
