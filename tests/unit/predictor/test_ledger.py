import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from services.predictor.domain.endings import Opened, ending
from services.predictor.handlers.ledger import Ledger
from shared.contracts.errors import AppError, Unavailable
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.contracts.trading import Exit, Outcome, Signal
from shared.market.candles import Candle, between, pack
from shared.runtime.clock import from_ms
from shared.runtime.tasks import alongside
from shared.trading.settlement import NOT_ENTERED, Value, settle
from tests.support.predicting import candles_updated, universe
from tests.support.signals import BTC, CANDLE_AT, M15, candle, flat, signal

WIN = candle(2, 100, 104, 99, 104)
STEPS = ("keep", "tell", "release")


class Killed(Exception):
    """The process ends here."""


@dataclass
class FakeBook:
    """`dies_before` and `dies_after` name the step at which a process ends, once; `broken` is
    raised instead of answering. `told` are the ids of events, each once, as on the bus.
    """

    open: dict[Symbol, Opened] = field(default_factory=dict)
    kept: dict[str, Signal] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    dies_before: str | None = None
    dies_after: str | None = None
    broken: AppError | None = None

    def opens(self, one: Signal) -> None:
        self.open[one.symbol] = Opened(one, len(self.open) + len(self.kept) + 1)

    async def opened(self, symbol: Symbol) -> Opened | None:
        await asyncio.sleep(0)
        if self.broken:
            raise self.broken
        return self.open.get(symbol)

    async def keep(self, ended: Signal) -> Signal:
        await self._reach("keep", self.dies_before)
        kept = self.kept.setdefault(ended.id, ended)
        await self._reach("keep", self.dies_after)
        return kept

    async def tell(self, ended: Signal) -> None:
        await self._reach("tell", self.dies_before)
        event = ending(ended, CANDLE_AT).id
        if event not in self.told:
            self.told.append(event)
        await self._reach("tell", self.dies_after)

    async def release(self, opened: Opened) -> None:
        await self._reach("release", self.dies_before)
        if self.open.get(opened.signal.symbol) == opened:
            del self.open[opened.signal.symbol]
        await self._reach("release", self.dies_after)

    async def _reach(self, step: str, deadly: str | None) -> None:
        await asyncio.sleep(0)
        if step == deadly:
            self.dies_before = self.dies_after = None
            raise Killed


@dataclass
class FakeCandles:
    stored: list[Candle] = field(default_factory=list)

    async def read(self, symbol: Symbol, timeframe: Timeframe, *, since_ms: int) -> bytes:
        await asyncio.sleep(0)
        return between(pack(self.stored), since_ms, None)


@dataclass
class Market:
    """Predictors come and go; what is open and what the market did stays."""

    book: FakeBook = field(default_factory=FakeBook)
    candles: FakeCandles = field(default_factory=FakeCandles)

    @asynccontextmanager
    async def predictor(self) -> AsyncIterator[Ledger]:
        """One that has just started, and was told what is open."""
        ledger = Ledger(self.book, self.candles)
        async with alongside(ledger.run(), name="ledger"):
            for opened in list(self.book.open.values()):
                ledger.on_opened(opened.signal)
            yield ledger

    async def lives_through(self) -> None:
        """A predictor starts, does what there is to do, and ends."""
        async with self.predictor():
            await asyncio.sleep(60)

    def goes_on(self, *candles: Candle) -> None:
        self.candles.stored += candles


@pytest.fixture
def market() -> Market:
    return Market()


def exits(market: Market) -> list[Exit]:
    return [one.outcome.exit for one in market.book.kept.values() if one.outcome]


async def test_a_candle_that_ends_a_signal_closes_it(market: Market) -> None:
    market.book.opens(signal())
    async with market.predictor() as ledger:
        await asyncio.sleep(1)
        market.goes_on(flat(1), WIN)
        ledger.on_candles(candles_updated(from_ms(WIN.at_ms)))
        await asyncio.sleep(1)
        assert ledger.holdings == []
    assert exits(market) == [Exit.TAKE_PROFIT]
    assert market.book.told == [f"signal.closed:{signal().id}"]
    assert market.book.open == {}


async def test_what_ends_with_its_time_or_is_missed_is_told_as_expired(market: Market) -> None:
    missed = replace(signal(), id="other", symbol=Symbol("ETH/USDT"), stop_loss=100.0)
    market.book.opens(signal())
    market.book.opens(missed)
    market.goes_on(flat(1), flat(2), flat(3))
    await market.lives_through()
    assert sorted(market.book.told) == ["signal.expired:" + id for id in (signal().id, "other")]


async def test_an_open_signal_is_valued_at_the_newest_close(market: Market) -> None:
    market.book.opens(signal())
    async with market.predictor() as ledger:
        await asyncio.sleep(1)
        assert [one.value for one in ledger.holdings] == [NOT_ENTERED]
        market.goes_on(candle(1, 100, 103, 99, 102))
        ledger.on_candles(candles_updated(CANDLE_AT))
        await asyncio.sleep(1)
        assert [one.value for one in ledger.holdings] == [Value(100, 102, 10_000)]


async def test_what_ended_while_no_predictor_ran_is_settled_by_the_next(market: Market) -> None:
    market.book.opens(signal())
    market.goes_on(flat(1), WIN, candle(3, 90, 90, 80, 80))
    await market.lives_through()
    assert exits(market) == [Exit.TAKE_PROFIT]


async def test_candles_of_another_timeframe_or_symbol_change_nothing(market: Market) -> None:
    market.book.opens(signal())
    async with market.predictor() as ledger:
        await asyncio.sleep(1)
        market.goes_on(flat(1), WIN)
        ledger.on_candles(candles_updated(CANDLE_AT, timeframe=Timeframe.H1))
        ledger.on_candles(candles_updated(CANDLE_AT, symbol=Symbol("ETH/USDT")))
        await asyncio.sleep(1)
    assert exits(market) == []


def test_where_the_market_is_follows_from_the_newest_candle_of_all(market: Market) -> None:
    ledger = Ledger(market.book, market.candles)
    assert ledger.newest_candle is None
    for number, symbol in ((2, BTC), (3, Symbol("ETH/USDT")), (1, BTC)):
        ledger.on_candles(candles_updated(CANDLE_AT + number * M15, symbol=symbol))
    assert ledger.newest_candle == CANDLE_AT + 3 * M15


async def test_what_cannot_be_read_now_is_tried_again_without_news(market: Market) -> None:
    market.book.opens(signal())
    market.goes_on(flat(1), WIN)
    market.book.broken = Unavailable("NATS is away")
    async with market.predictor() as ledger:
        await asyncio.sleep(1)
        (problem,) = ledger.problems()
        assert "the signal of BTC/USDT cannot be followed: NATS is away" in problem.message
        market.book.broken = None
        await asyncio.sleep(10)
        assert ledger.problems() == ()
    assert exits(market) == [Exit.TAKE_PROFIT]


async def test_a_symbol_that_leaves_the_universe_takes_its_signal_with_it(market: Market) -> None:
    market.book.opens(signal())
    market.goes_on(flat(1), candle(2, 100, 103, 99, 102))
    async with market.predictor() as ledger:
        ledger.on_universe(universe(BTC))
        await asyncio.sleep(1)
        assert exits(market) == []
        ledger.on_universe(universe(Symbol("ETH/USDT")))
        await asyncio.sleep(1)
    (kept,) = market.book.kept.values()
    assert kept.outcome is not None
    assert (kept.outcome.exit, kept.outcome.exit_price) == (Exit.EXPIRY, 102)
    assert market.book.open == {}


async def test_what_left_the_universe_while_no_predictor_ran_ends_when_one_hears_of_it(
    market: Market,
) -> None:
    market.book.opens(signal())
    ledger = Ledger(market.book, market.candles)
    ledger.on_universe(universe(Symbol("ETH/USDT")))
    async with alongside(ledger.run(), name="ledger"):
        ledger.on_opened(signal())
        await asyncio.sleep(1)
    assert exits(market) == [Exit.MISSED]


async def test_a_level_that_was_reached_before_its_symbol_left_counts(market: Market) -> None:
    market.book.opens(signal())
    market.goes_on(flat(1), WIN)
    async with market.predictor() as ledger:
        ledger.on_universe(universe())
        await asyncio.sleep(1)
    assert exits(market) == [Exit.TAKE_PROFIT]


async def test_no_candle_follows_where_the_universe_has_another_timeframe(market: Market) -> None:
    market.book.opens(signal())
    market.goes_on(flat(1))
    async with market.predictor() as ledger:
        ledger.on_universe(replace(universe(BTC), timeframe=Timeframe.H1))
        await asyncio.sleep(1)
    assert exits(market) == [Exit.EXPIRY]


async def test_a_split_of_the_share_ends_nothing(market: Market) -> None:
    """A long of 100 with its stop-loss at 98 opens at 50, for half a share each."""
    usual = [candle(n, 100, 100.5, 99.5, 100) for n in range(-30, 2)]
    market.book.opens(signal())
    market.goes_on(*usual, candle(2, 50, 50.25, 49.75, 50))
    await market.lives_through()
    assert exits(market) == []


async def test_what_has_gone_while_nobody_listened_is_forgotten(market: Market) -> None:
    market.book.opens(signal())
    async with market.predictor() as ledger:
        await asyncio.sleep(1)
        market.book.open.clear()
        ledger.on_candles(candles_updated(CANDLE_AT))
        await asyncio.sleep(1)
        assert ledger.holdings == []


@pytest.mark.parametrize("when", ["dies_before", "dies_after"])
@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step_the_next_one_ends_it_once(
    market: Market, step: str, when: str
) -> None:
    market.book.opens(signal())
    market.goes_on(flat(1), WIN)
    setattr(market.book, when, step)
    with pytest.raises(ExceptionGroup) as died:
        await market.lives_through()
    assert died.group_contains(Killed)
    await market.lives_through()
    await market.lives_through()
    assert exits(market) == [Exit.TAKE_PROFIT]
    assert market.book.told == [f"signal.closed:{signal().id}"]
    assert market.book.open == {}


async def test_an_outcome_that_is_kept_stands_whatever_candles_came_since(market: Market) -> None:
    """One predictor kept it and died. The candle that was missing then is there now."""
    market.book.opens(signal())
    kept = replace(signal(), outcome=settle(signal(), [flat(1), flat(2), flat(3)]))
    market.book.kept[kept.id] = kept
    market.goes_on(flat(1), WIN)
    await market.lives_through()
    assert exits(market) == [Exit.EXPIRY]
    assert market.book.told == [f"signal.expired:{kept.id}"]


async def test_two_predictors_end_a_signal_once(market: Market) -> None:
    market.book.opens(signal())
    market.goes_on(flat(1), WIN)
    async with market.predictor(), market.predictor():
        await asyncio.sleep(60)
    assert exits(market) == [Exit.TAKE_PROFIT]
    assert len(market.book.told) == 1


async def test_the_next_signal_of_a_symbol_is_not_taken_for_the_last(market: Market) -> None:
    market.book.opens(signal())
    market.goes_on(flat(1), WIN)
    async with market.predictor() as ledger:
        await asyncio.sleep(1)
        later = replace(
            signal(), id="later", candle_at=from_ms(WIN.at_ms), expires_at=from_ms(flat(9).at_ms)
        )
        market.book.opens(later)
        ledger.on_opened(later)
        ledger.on_gone(Symbol("ETH/USDT"))
        await asyncio.sleep(1)
        assert [one.signal for one in ledger.holdings] == [later]
    assert list(market.book.kept) == [signal().id]


def test_an_ending_is_the_same_event_each_time_it_is_told() -> None:
    closed = replace(signal(), outcome=Outcome(exit=Exit.STOP_LOSS, exit_at=CANDLE_AT))
    assert ending(closed, CANDLE_AT).id == ending(closed, from_ms(WIN.at_ms)).id
    assert ending(closed, CANDLE_AT).symbol == BTC
