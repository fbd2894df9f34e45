import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from services.scheduler.market import Market
from shared.contracts.errors import Unavailable, UnknownSymbol
from shared.contracts.events import CandlesUpdated, Event
from shared.contracts.records import Problem, Universe
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


async def a_while() -> None:
    """Until the next tick, when what failed or was missing is worth asking for again."""
    await asyncio.sleep(900)


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
    await a_while()
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


async def test_a_problem_stands_until_it_is_over_and_is_remembered_with_its_time() -> None:
    provider = PagedProvider(S0=candles(5))
    house = House(provider)
    await house.market.update(ONE)
    provider.faults[GOOD] = lambda page: Unavailable("away")
    await house.market.update(ONE)
    failed_at = loop_clock()
    (summary,) = await house.market.summaries()
    assert (summary.rows, summary.error) == (5, Problem(code="unavailable", message="away"))
    await a_while()
    provider.faults.clear()
    await house.market.update(ONE)
    (summary,) = await house.market.summaries()
    assert summary.error is None
    assert summary.last_error == Problem(code="unavailable", message="away")
    assert summary.last_error_at == failed_at


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


async def test_a_refused_candle_is_told_and_the_others_kept() -> None:
    rows = candles(5)
    rows[2] = rows[2]._replace(high=1)
    house = House(PagedProvider(S0=rows))
    await house.market.update(ONE)
    (summary,) = await house.market.summaries()
    assert (summary.rows, summary.gaps) == (4, 1)
    assert summary.error is not None
    assert summary.error.code == "candles_refused"
    assert summary.error.message.startswith(
        "1 of 5 candles are refused: that of 1970-01-03 00:00 is high_below_low"
    )


async def test_a_page_without_one_sound_candle_is_passed_over() -> None:
    rows = candles(2 * PAGE)
    rows[:PAGE] = [row._replace(low=-1) for row in rows[:PAGE]]
    house = House(PagedProvider(S0=rows))
    await house.market.update(ONE)
    assert await house.stored(GOOD) == rows[PAGE:]


async def test_a_symbol_that_fails_is_left_alone_longer_each_time() -> None:
    provider = PagedProvider(S0=candles(5))
    provider.faults[GOOD] = lambda page: Unavailable("away")
    house = House(provider)
    asked: list[float] = []
    loop = asyncio.get_running_loop()
    while loop.time() < 3600:
        before = len(provider.pages)
        await house.market.update(ONE)
        if len(provider.pages) > before:
            asked.append(loop.time())
        await asyncio.sleep(10)
    waits = [after - before for before, after in pairwise(asked)]
    assert waits == [30, 60, 120, 240, 480, 900, 900]


async def test_those_that_failed_before_come_last() -> None:
    provider = PagedProvider(S0=candles(5), S1=candles(5))
    provider.faults[GOOD] = lambda page: Unavailable("away")
    house = House(provider)
    await house.market.update(BOTH)
    await a_while()
    provider.pages.clear()
    await house.market.update(BOTH)
    assert provider.pages[0][0] == BROKEN


async def test_what_was_fetched_from_the_beginning_is_not_looked_at_from_there_again() -> None:
    provider = PagedProvider(S0=candles(35))
    await House(provider).market.update(ONE)
    assert [after for _, after in provider.pages].count(None) == 1


async def test_a_hole_is_asked_for_again_and_filled() -> None:
    rows = candles(30)
    provider = PagedProvider(S0=[*rows[:12], *rows[15:]])
    house = House(provider)
    await house.market.update(ONE)
    provider.rows[GOOD] = rows
    provider.pages.clear()
    await a_while()
    await house.market.update(ONE)
    assert await house.stored(GOOD) == rows
    assert (GOOD, 11 * D1.ms) in provider.pages


async def test_what_lies_before_the_first_candle_is_fetched_when_the_provider_has_it() -> None:
    rows = candles(40)
    provider = PagedProvider(S0=rows[25:])
    house = House(provider)
    await house.market.update(ONE)
    provider.rows[GOOD] = rows
    await asyncio.sleep(6 * 3600)
    await house.market.update(ONE)
    assert await house.stored(GOOD) == rows


async def test_a_hole_that_nobody_fills_is_asked_for_more_and_more_seldom() -> None:
    rows = candles(30)
    provider = PagedProvider(S0=[*rows[:12], *rows[15:]])
    house = House(provider)
    asked: list[float] = []
    loop = asyncio.get_running_loop()
    while loop.time() < 86_400:
        provider.pages.clear()
        await house.market.update(ONE)
        if len(provider.pages) > 1:
            asked.append(loop.time() / 60)
        await asyncio.sleep(900)
    waits = [after - before for before, after in pairwise(asked)]
    assert waits == [15, 30, 60, 120, 240, 360, 360]


async def test_a_new_hole_is_asked_for_at_once_though_an_old_one_stays() -> None:
    rows = candles(30)
    provider = PagedProvider(S0=[*rows[:12], *rows[15:20]])
    house = House(provider)
    for _ in range(10):
        await house.market.update(ONE)
        await a_while()
    provider.rows[GOOD] = [*rows[:12], *rows[15:20], *rows[22:]]
    await house.market.update(ONE)
    provider.rows[GOOD] = [*rows[:12], *rows[15:]]
    await a_while()
    await house.market.update(ONE)
    assert await house.stored(GOOD) == provider.rows[GOOD]


async def test_a_page_fills_the_holes_beside_each_other_at_once() -> None:
    rows = candles(10)
    provider = PagedProvider(S0=rows[::2])
    house = House(provider)
    await house.market.update(ONE)
    provider.rows[GOOD] = rows[:9]
    provider.pages.clear()
    await a_while()
    await house.market.update(ONE)
    assert await house.stored(GOOD) == rows[:9]
    assert len(provider.pages) == 2  # the newest, then everything from the beginning


async def test_a_symbol_with_a_long_history_lets_others_have_their_turn() -> None:
    provider = PagedProvider(S0=candles(300), S1=candles(5))
    provider.faults[GOOD] = lambda page: 20.0
    house = House(provider)
    await house.market.update(BOTH)
    assert len(await house.stored(GOOD)) == 300
    told = [event for event in house.events if isinstance(event, CandlesUpdated)]
    assert len([event for event in told if event.symbol == GOOD]) > 1


async def test_an_update_ends_in_time_and_the_next_one_goes_on_where_it_stopped() -> None:
    provider = PagedProvider(S0=candles(400))
    provider.faults[GOOD] = lambda page: 20.0
    house = House(provider)
    await house.market.update(ONE)
    assert asyncio.get_running_loop().time() < 700
    stored = len(await house.stored(GOOD))
    assert 0 < stored < 400
    provider.pages.clear()
    await house.market.update(ONE)
    assert provider.pages[0] == (GOOD, (stored - 1) * D1.ms)
    assert await house.stored(GOOD) == candles(400)


async def test_the_problems_of_a_removed_symbol_go_with_it() -> None:
    provider = PagedProvider(S0=candles(5))
    provider.faults[BROKEN] = lambda page: UnknownSymbol("S1 is not traded there")
    house = House(provider)
    await house.market.update(BOTH)
    await house.market.update(ONE)
    assert [summary.symbol for summary in await house.market.summaries()] == [GOOD]
