"""Keeping the candle store up to date: what the provider has and the store has not."""

import asyncio
import logging
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from services.scheduler.domain.patience import Patience
from shared.contracts.errors import AppError, CandlesRefused, Unavailable
from shared.contracts.events import CandlesUpdated, Event
from shared.contracts.records import CandleSummary, Problem, Universe
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle
from shared.market.checks import EARLIEST_MS, Gap, check
from shared.market.store import Appended, Extent, Series
from shared.runtime.clock import Clock, from_ms

log = logging.getLogger(__name__)

#: Symbols that are visited beside each other; a slow one delays no other.
_AT_ONCE: Final = 16
#: A provider that is silent for so long gives nothing this time.
_PAGE_S: Final = 60.0
#: A symbol with much to catch up makes room for the next one after so long.
_VISIT_S: Final = 60.0
#: And all of them after so long: the others want their newest candles again.
_UPDATE_S: Final = 600.0
#: How long a symbol that failed is left alone, at first and at most.
_FAILED_FOR: Final = timedelta(seconds=30), timedelta(minutes=15)
#: The same for holes that the provider did not fill. A series without any is looked at as seldom as
#: that: trainings may have been configured to read more of the past.
_HOLES_FOR: Final = timedelta(minutes=15), timedelta(hours=6)


class Provider(Protocol):
    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, after_ms: int | None
    ) -> list[Candle]:
        """Closed candles after `after_ms`, oldest first, a bounded number at a time."""

    def now_ms(self) -> int:
        """The market's clock, which is not the wall clock when the past is replayed."""


class Store(Protocol):
    """Every verb may raise Unavailable."""

    async def extent(self, symbol: Symbol, timeframe: Timeframe) -> Extent | None: ...

    async def gaps(self, symbol: Symbol, timeframe: Timeframe) -> list[Gap]: ...

    async def append(
        self, symbol: Symbol, timeframe: Timeframe, candles: Sequence[Candle]
    ) -> Appended: ...

    async def summaries(self, *, now_ms: int) -> list[CandleSummary]: ...


class Outlet(Protocol):
    async def emit(self, fact: Event) -> None: ...


@dataclass(slots=True)
class _Standing:
    """What is known of a series beside its candles. `begun` says that it was fetched from the very
    beginning, so that nothing can lie before it. `mended_to` is how far the holes have been asked
    for again, in a series of visits; `missing` is how many candles they had at its end.
    """

    last_error: Problem | None = None
    last_error_at: datetime | None = None
    failures: Patience = field(default_factory=Patience)
    mending: Patience = field(default_factory=Patience)
    begun: bool = False
    mended_to: int | None = None
    missing: int = 0


@dataclass(slots=True)
class _Visit:
    """What one visit has brought so far. `until` is on the loop's clock."""

    until: float
    added: int = 0
    newest: Candle | None = None
    refused: list[str] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return asyncio.get_running_loop().time() >= self.until


class _Page(NamedTuple):
    """`reached` is the last open time that the provider answered for; None at the end of what it
    has.
    """

    candles: list[Candle]
    reached: int | None


class Market:
    """The candles of the universe."""

    def __init__(self, provider: Provider, store: Store, outlet: Outlet, clock: Clock) -> None:
        self._provider = provider
        self._store = store
        self._outlet = outlet
        self._clock = clock
        self._standing: dict[Series, _Standing] = defaultdict(_Standing)

    async def update(self, universe: Universe) -> None:
        """Bring every symbol up to date: first its newest candles, then the holes between them.

        What goes wrong with one is that symbol's problem. It is left alone for a while, longer each
        time, and comes after the others. What is too much for one update is left for the next one,
        which goes on from what is stored.
        """
        series = [Series(symbol, universe.timeframe) for symbol in universe.symbols]
        for gone in self._standing.keys() - set(series):
            del self._standing[gone]
        loop = asyncio.get_running_loop()
        until = loop.time() + _UPDATE_S
        behind = sorted(filter(self._due, series), key=self._failures)
        while behind and loop.time() < until:
            behind = await self._round(behind, until)

    async def summaries(self) -> list[CandleSummary]:
        """Every stored series, with what went wrong at its last update; then the series of which
        there is nothing but that.
        """
        stored = await self._store.summaries(now_ms=self._provider.now_ms())
        named = {Series(series.symbol, series.timeframe): series for series in stored}
        failed = [series for series, standing in self._standing.items() if standing.last_error]
        named |= {series: _nothing(series) for series in failed if series not in named}
        return [self._with_errors(series, summary) for series, summary in named.items()]

    def _with_errors(self, series: Series, summary: CandleSummary) -> CandleSummary:
        standing = self._standing.get(series)
        if standing is None:
            return summary
        return replace(
            summary,
            error=standing.last_error if standing.failures.tries else None,
            last_error=standing.last_error,
            last_error_at=standing.last_error_at,
        )

    def _due(self, series: Series) -> bool:
        return self._standing[series].failures.over(self._clock())

    def _failures(self, series: Series) -> int:
        return self._standing[series].failures.tries

    async def _round(self, behind: Sequence[Series], until: float) -> list[Series]:
        """Visit each series once, and name those that have more to fetch."""
        free = asyncio.Semaphore(_AT_ONCE)
        loop = asyncio.get_running_loop()

        async def one(series: Series) -> bool:
            async with free:
                return loop.time() < until and await self._visit_or_note(series)

        async with asyncio.TaskGroup() as group:
            visits = {series: group.create_task(one(series)) for series in behind}
        return [series for series, visit in visits.items() if not visit.result()]

    async def _visit_or_note(self, series: Series) -> bool:
        """Whether nothing is left to fetch this time."""
        standing = self._standing[series]
        try:
            complete = await self._visit(series, standing)
        except AppError as exc:
            now = self._clock()
            standing.last_error = Problem(code=exc.code, message=str(exc))
            standing.last_error_at = now
            first, most = _FAILED_FOR
            standing.failures = standing.failures.after_another(now, first=first, most=most)
            log.warning("no candles", extra={"symbol": series.symbol, "reason": str(exc)})
            return True
        standing.failures = Patience()
        return complete

    async def _visit(self, series: Series, standing: _Standing) -> bool:
        """Page by page; what was stored is told even if a later page does not come."""
        visit = _Visit(until=asyncio.get_running_loop().time() + _VISIT_S)
        try:
            complete = await self._catch_up(series, standing, visit)
            if complete:
                complete = await self._mend(series, standing, visit)
        finally:
            if visit.newest is not None:
                await self._outlet.emit(self._updated(series, visit.newest, visit.added))
        if visit.refused:
            raise CandlesRefused("; ".join(visit.refused[:3]))
        return complete

    async def _catch_up(self, series: Series, standing: _Standing, visit: _Visit) -> bool:
        """Fetch what comes after the newest candle, or everything; whether that was all."""
        extent = await self._store.extent(*series)
        after = None if extent is None else extent.last
        standing.begun = standing.begun or extent is None
        while not visit.over:
            page = await self._page(series, after, visit)
            if page.reached is None:
                return True
            if page.candles:
                visit.added += (await self._store.append(*series, page.candles)).added
                visit.newest = page.candles[-1]
            after = page.reached
        return False

    async def _mend(self, series: Series, standing: _Standing, visit: _Visit) -> bool:
        """Ask again for what is missing before the first candle, and between it and the last;
        whether that was all.

        What one page brings is not asked for again, so many holes beside each other cost little.
        """
        extent = await self._store.extent(*series)
        if extent is None:
            raise Unavailable(f"the provider has no {series.timeframe} candle of it")
        if not self._mending_is_due(extent, standing):
            return True
        before = Gap(EARLIEST_MS, extent.first - series.timeframe.ms, 0)
        holes = [] if standing.begun else [before]
        if extent.missing:
            holes += await self._store.gaps(*series)
        for hole in holes:
            if not await self._fill(series, hole, holes, standing, visit):
                return False
        mended = await self._store.extent(*series)
        standing.begun, standing.mended_to = False, None
        standing.missing = mended.missing if mended else 0
        first, most = _HOLES_FOR
        standing.mending = standing.mending.after_another(
            self._clock(), first=first if standing.missing else most, most=most
        )
        return True

    def _mending_is_due(self, extent: Extent, standing: _Standing) -> bool:
        if extent.missing > standing.missing:
            standing.missing = extent.missing
            standing.mending = Patience()
        return standing.mending.over(self._clock())

    async def _fill(
        self,
        series: Series,
        hole: Gap,
        holes: Sequence[Gap],
        standing: _Standing,
        visit: _Visit,
    ) -> bool:
        """Whether the provider has said all it has to say about a hole."""
        after = None if hole.from_ms == EARLIEST_MS else hole.from_ms - series.timeframe.ms
        if standing.mended_to is not None:
            after = standing.mended_to if after is None else max(after, standing.mended_to)
        while after is None or after < hole.to_ms:
            if visit.over:
                return False
            page = await self._page(series, after, visit)
            if missing := _inside(holes, page.candles):
                await self._store.append(*series, missing)
            if page.reached is None:
                return True
            after = standing.mended_to = page.reached
        return True

    async def _page(self, series: Series, after: int | None, visit: _Visit) -> _Page:
        """The provider's next candles, without those that are refused."""
        try:
            async with asyncio.timeout(_PAGE_S):
                rows = await self._provider.candles(*series, after)
        except TimeoutError as exc:
            raise Unavailable(f"the provider did not answer within {_PAGE_S:g} s") from exc
        now_ms = self._provider.now_ms()
        checked = check(rows, timeframe=series.timeframe, after=after, now_ms=now_ms)
        if checked.refused:
            number, reason = checked.refused[0]
            visit.refused.append(
                f"{len(checked.refused)} of {len(rows)} candles are refused: "
                f"that of {_time(rows[number])} is {reason}"
            )
        return _Page(checked.accepted, _reached(rows, after, now_ms))

    def _updated(self, series: Series, newest: Candle, added: int) -> CandlesUpdated:
        return CandlesUpdated(
            id=f"candles.updated:{series.symbol}:{series.timeframe}:{newest.at_ms}",
            at=self._clock(),
            symbol=series.symbol,
            timeframe=series.timeframe,
            added=added,
            candle_at=from_ms(newest.at_ms),
            open=newest.open,
            high=newest.high,
            low=newest.low,
            close=newest.close,
            volume=newest.volume,
        )


def _reached(rows: Sequence[Sequence[object]], after: int | None, now_ms: int) -> int | None:
    """The last open time of a page, refused ones among them, so that they are passed over."""
    times = [at for at, *_ in rows if isinstance(at, int) and at <= now_ms]
    return max((at for at in times if after is None or at > after), default=None)


def _inside(holes: Sequence[Gap], candles: Sequence[Candle]) -> list[Candle]:
    """The candles that fall into one of the holes, which are in order."""
    begins = [hole.from_ms for hole in holes]
    return [
        candle
        for candle in candles
        if (number := bisect_right(begins, candle.at_ms))
        and candle.at_ms <= holes[number - 1].to_ms
    ]


def _time(row: Candle) -> str:
    """Its open time as far as it has one."""
    try:
        return f"{from_ms(row.at_ms):%Y-%m-%d %H:%M}"
    except (TypeError, ValueError, OverflowError, OSError):
        return "no time"


def _nothing(series: Series) -> CandleSummary:
    return CandleSummary(
        symbol=series.symbol,
        timeframe=series.timeframe,
        first=None,
        last=None,
        rows=0,
        gaps=0,
        lag_s=None,
    )
