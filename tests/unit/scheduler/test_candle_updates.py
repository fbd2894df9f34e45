import asyncio
import logging
from collections.abc import Callable, Sequence

import pytest

from services.scheduler.market import Market
from shared.contracts.errors import Unavailable, UnknownSymbol
from shared.contracts.events import CandlesUpdated, Event
from shared.contracts.records import Universe
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle, unpack
from shared.market.store import CandleStore
from tests.support.buckets import MemoryBucket
from tests.support.coordination import loop_clock, symbols

D1 = Timeframe.D1
GOOD, BROKEN = symbols(2)
BOTH = Universe(symbols=(GOOD, BROKEN), timeframe=D1, horizons=(1,))
ONE = Universe(symbols=(GOOD,), timeframe=D1, horizons=(1,))
PAGE = 10


def candles(count: int, *, first: int = 0) -> list[Candle]:
    return [Candle(n * D1.ms, 10, 11, 9, 10.5, 100) for n in range(first, first + count)]


class PagedProvider:
    """Ten candles at a time. A symbol's fault, by the number of the page, is an error that is
    raised instead of the answer, or the seconds that it takes.
    """

    def __init__(self, **rows: Sequence[Candle]) -> None:
        self.rows = {Symbol(name): list(given) for name, given in rows.items()}
        self.faults: dict[Symbol, Callable[[int], Exception | float | None]] = {}
        self.pages: list[tuple[Symbol, int | None]] = []

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, after_ms: int | None
    ) -> list[Candle]:
        self.pages.append((symbol, after_ms))
        page = sum(asked == symbol for asked, _ in self.pages)
        fault = self.faults[symbol](page) if symbol in self.faults else None
        if isinstance(fault, Exception):
            raise fault
        await asyncio.sleep(fault or 0)
        after = -1 if after_ms is None else after_ms
        return [row for row in self.rows[symbol] if row.at_ms > after][:PAGE]

    def now_ms(self) -> int:
        return 1000 * D1.ms


class Events(list[Event]):
    async def emit(self, fact: Event) -> None:
        self.append(fact)


class House:
    def __init__(self, provider: PagedProvider) -> None:
        self.store = CandleStore(MemoryBucket())
        self.events = Events()
        self.market = Market(provider, self.store, self.events, loop_clock)

    async def stored(self, symbol: Symbol) -> list[Candle]:
        return unpack(await self.store.read(symbol, D1))


async def test_the_providers_pages_are_followed_to_the_end() -> None:
    provider = PagedProvider(S0=candles(35))
    house = House(provider)
    await house.market.update(ONE)
    assert await house.stored(GOOD) == candles(35)
    assert [after for _, after in provider.pages] == [
        None,
        *(last * D1.ms for last in (9, 19, 29, 34)),
    ]


async def test_an_update_begins_behind_the_newest_candle_stored() -> None:
    provider = PagedProvider(S0=candles(5))
    house = House(provider)
    await house.market.update(ONE)
    provider.pages.clear()
    provider.rows[GOOD] = candles(7)
    await house.market.update(ONE)
    assert provider.pages[0] == (GOOD, 4 * D1.ms)
    assert len(await house.stored(GOOD)) == 7


async def test_an_update_is_told_once_with_the_newest_candle_and_the_number_added() -> None:
    house = House(PagedProvider(S0=candles(25)))
    await house.market.update(ONE)
    (event,) = house.events
    assert isinstance(event, CandlesUpdated)
    assert (event.symbol, event.added, event.candle_at.timestamp()) == (GOOD, 25, 24 * 86_400)
    assert (event.open, event.high, event.low, event.close, event.volume) == (10, 11, 9, 10.5, 100)


async def test_nothing_is_told_when_nothing_is_new() -> None:
    house = House(PagedProvider(S0=candles(5)))
    await house.market.update(ONE)
    house.events.clear()
    await house.market.update(ONE)
    assert not house.events


async def test_what_was_stored_before_the_provider_failed_is_told() -> None:
    provider = PagedProvider(S0=candles(25))
    provider.faults[GOOD] = lambda page: Unavailable("too many requests") if page == 2 else None
    house = House(provider)
    await house.market.update(ONE)
    (event,) = house.events
    assert isinstance(event, CandlesUpdated)
    assert event.added == 10
    await house.market.update(ONE)
    assert len(await house.stored(GOOD)) == 25


async def test_a_broken_symbol_stops_no_other() -> None:
    provider = PagedProvider(S0=candles(5), S1=candles(5))
    provider.faults[BROKEN] = lambda page: UnknownSymbol("S1 is not traded there")
    house = House(provider)
    await house.market.update(BOTH)
    assert len(await house.stored(GOOD)) == 5


async def test_a_slow_symbol_delays_no_other() -> None:
    provider = PagedProvider(S0=candles(5), S1=candles(5))
    provider.faults[BROKEN] = lambda page: 50.0
    house = House(provider)
    async with asyncio.TaskGroup() as group:
        group.create_task(house.market.update(BOTH))
        await asyncio.sleep(1)
        assert len(await house.stored(GOOD)) == 5
        assert await house.stored(BROKEN) == []


async def test_a_provider_that_never_answers_does_not_hold_up_the_next_update() -> None:
    provider = PagedProvider(S0=candles(5), S1=candles(5))
    provider.faults[BROKEN] = lambda page: 1e9
    house = House(provider)
    await house.market.update(BOTH)
    summaries = {summary.symbol: summary for summary in await house.market.summaries()}
    error = summaries[BROKEN].error
    assert error is not None
    assert error.code == "unavailable"


async def test_a_bug_is_not_taken_for_a_symbols_problem() -> None:
    provider = PagedProvider(S0=candles(5))
    provider.faults[GOOD] = lambda page: ZeroDivisionError()
    with pytest.raises(ExceptionGroup):
        await House(provider).market.update(ONE)


async def test_a_problem_is_noted_beside_the_candles_and_cleared_by_the_next_success() -> None:
    provider = PagedProvider(S0=candles(5))
    provider.faults[GOOD] = lambda page: Unavailable("away") if page == 3 else None
    house = House(provider)
    await house.market.update(ONE)
    await house.market.update(ONE)
    (summary,) = await house.market.summaries()
    assert (summary.rows, summary.error and summary.error.message) == (5, "away")
    await house.market.update(ONE)
    (summary,) = await house.market.summaries()
    assert summary.error is None


async def test_a_symbol_that_never_had_a_candle_is_listed_with_its_problem() -> None:
    provider = PagedProvider()
    provider.faults[GOOD] = lambda page: UnknownSymbol("S0 is not traded there")
    house = House(provider)
    await house.market.update(ONE)
    (summary,) = await house.market.summaries()
    assert (summary.symbol, summary.rows, summary.first, summary.lag_s) == (GOOD, 0, None, None)
    assert summary.error is not None
    assert summary.error.code == "unknown_symbol"


async def test_a_problem_of_one_timeframe_is_not_that_of_another() -> None:
    provider = PagedProvider(S0=candles(5))
    house = House(provider)
    await house.market.update(ONE)
    provider.faults[GOOD] = lambda page: Unavailable("away")
    await house.market.update(Universe(symbols=(GOOD,), timeframe=Timeframe.H1, horizons=(1,)))
    errors = {s.timeframe: s.error for s in await house.market.summaries()}
    assert errors[D1] is None
    assert errors[Timeframe.H1] is not None


async def test_refused_rows_are_logged_and_the_others_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = candles(5)
    rows[2] = rows[2]._replace(high=1)
    house = House(PagedProvider(S0=rows))
    with caplog.at_level(logging.WARNING):
        await house.market.update(ONE)
    (line,) = [record for record in caplog.records if record.message == "candle refused"]
    assert vars(line)["reason"] == "high_below_low"
    assert len(await house.stored(GOOD)) == 4


async def test_a_page_without_one_sound_candle_ends_the_update() -> None:
    provider = PagedProvider(S0=[row._replace(low=-1) for row in candles(5)])
    house = House(provider)
    await house.market.update(ONE)
    assert len(provider.pages) == 1
    assert not house.events
