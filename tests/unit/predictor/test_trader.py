"""One trader, or several that share what is open and what is told."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.predictor.adapters.openings import KvOpenings
from services.predictor.domain.openings import Openings
from services.predictor.handlers.trader import Trader
from shared.contracts import codec, subjects
from shared.contracts.errors import Conflict, Unavailable
from shared.contracts.events import Event, SignalOpened, SignalRejected
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.contracts.trading import EvolvedParameters, Signal, SignalParameters
from shared.runtime.tasks import alongside
from shared.trading.signals import Outlook
from tests.support.buckets import MemoryBucket
from tests.support.coordination import symbols
from tests.support.deciding import (
    M15,
    RULES,
    FakeAnnouncements,
    FakeMarket,
    ended,
    opened,
    outlook,
    priced,
)
from tests.support.predicting import BTC, ETH, START

#: One signal of 1x is 1 % of the capital.
PLAIN = replace(RULES, auto_leverage=False)


class SlowOpenings(KvOpenings):
    """As if NATS were some way off, so that others do something meanwhile."""

    async def now(self) -> Openings:
        await asyncio.sleep(0.001)
        return await super().now()

    async def open(self, signal: Signal, openings: Openings) -> Openings:
        await asyncio.sleep(0.001)
        return await super().open(signal, openings)


@dataclass(kw_only=True)
class Floor:
    """What the traders have in common. Its clock stands still until it is set."""

    market: FakeMarket = field(default_factory=FakeMarket)
    bucket: MemoryBucket = field(default_factory=MemoryBucket)
    stream: list[Event] = field(default_factory=list)
    now: datetime = START + M15

    def trader(self, *, rules: Any = PLAIN) -> Trader:
        trader = Trader(
            self.market,
            SlowOpenings(self.bucket),
            FakeAnnouncements(stream=self.stream),
            clock=lambda: self.now,
        )
        trader.on_configuration(rules)
        return trader

    async def open(self) -> dict[Symbol, Signal]:
        entries = await self.bucket.entries(subjects.OPEN_SIGNALS)
        signals = [codec.decode(entry.value, Signal) for entry in entries]
        return {signal.symbol: signal for signal in signals}

    async def ends(self, signal: Signal, *, candles: int) -> None:
        """What the ledger does with it."""
        closed = ended(signal, candles=candles)
        await self.bucket.create(subjects.closed_signal(signal.id), codec.encode(closed))
        await self.bucket.delete(subjects.open_signal(signal.symbol))

    @property
    def told(self) -> list[tuple[str, Symbol]]:
        """What was told of which symbol: `opened`, or the reason of a rejection."""
        found = []
        for fact in self.stream:
            match fact:
                case SignalOpened():
                    found.append(("opened", fact.symbol))
                case SignalRejected():
                    found.append((fact.rejection.reason, fact.symbol))
        return found


@pytest.fixture
def floor() -> Floor:
    return Floor()


async def test_a_prediction_that_passes_is_opened_and_told(floor: Floor) -> None:
    floor.market.shows(outlook())
    await floor.trader().on_tick()
    signal = (await floor.open())[BTC]
    assert floor.told == [("opened", BTC)]
    assert [fact.signal for fact in floor.stream if isinstance(fact, SignalOpened)] == [signal]


async def test_one_that_does_not_is_rejected_with_its_reason(floor: Floor) -> None:
    floor.market.shows(outlook(accuracy=0.3), Outlook(symbol=ETH, timeframe=Timeframe.M15))
    await floor.trader().on_tick()
    assert floor.told == [("accuracy", BTC), ("no_model", ETH)]
    assert await floor.open() == {}


async def test_the_same_prediction_is_rejected_once_however_many_ticks_there_are(
    floor: Floor,
) -> None:
    floor.market.shows(outlook(accuracy=0.3))
    trader = floor.trader()
    for _ in range(3):
        await trader.on_tick()
        floor.now += timedelta(minutes=5)
    assert floor.told == [("accuracy", BTC)]


async def test_what_was_told_in_an_earlier_life_is_not_told_again(floor: Floor) -> None:
    floor.market.shows(outlook(accuracy=0.3), outlook(priced(ETH)))
    await floor.trader().on_tick()
    await floor.trader().on_tick()
    assert floor.told == [("accuracy", BTC), ("opened", ETH), ("already_open", ETH)]


async def test_the_next_candle_is_decided_anew(floor: Floor) -> None:
    trader = floor.trader()
    for candle in range(3):
        floor.market.shows(outlook(priced(candle=candle), accuracy=0.3))
        await trader.on_tick()
    assert floor.told == [("accuracy", BTC)] * 3


async def test_an_open_signal_keeps_others_of_its_symbol_away_until_it_has_ended(
    floor: Floor,
) -> None:
    trader = floor.trader(rules=replace(PLAIN, signal_cooldown_candles=0))
    for candle in range(2):
        floor.market.shows(outlook(priced(candle=candle)))
        await trader.on_tick()
    assert floor.told == [("opened", BTC), ("already_open", BTC)]
    await floor.ends((await floor.open())[BTC], candles=1)
    floor.market.shows(outlook(priced(candle=2)))
    await trader.on_tick()
    assert floor.told[-1] == ("opened", BTC)


async def test_the_cooldown_counts_from_an_end_that_this_predictor_did_not_see(
    floor: Floor,
) -> None:
    await floor.ends(opened(candle=0), candles=1)
    trader = floor.trader(rules=replace(PLAIN, signal_cooldown_candles=3))
    for candle in range(2, 5):
        floor.market.shows(outlook(priced(candle=candle)))
        await trader.on_tick()
    assert [what for what, _ in floor.told[1:]] == ["cooldown", "cooldown", "opened"]


async def test_a_removed_old_signal_does_not_hide_the_last_one(floor: Floor) -> None:
    for candle in (-900, -500, 0):
        await floor.ends(opened(candle=candle), candles=1)
    await floor.bucket.delete(subjects.closed_signal(opened(candle=-900).id))
    floor.market.shows(outlook(priced(candle=2)))
    await floor.trader().on_tick()
    assert floor.told[-1] == ("cooldown", BTC)


async def test_a_predictor_that_died_between_opening_and_telling_is_made_up_for(
    floor: Floor,
) -> None:
    floor.market.shows(outlook())
    signal = opened()
    await floor.bucket.create(subjects.open_signal(BTC), codec.encode(signal))
    await floor.trader().on_tick()
    assert floor.told == [("opened", BTC), ("already_open", BTC)]


async def test_a_signal_that_ended_before_anyone_could_tell_of_it_is_told_all_the_same(
    floor: Floor,
) -> None:
    signal = opened(candle=0)
    await floor.ends(signal, candles=1)
    floor.market.shows(outlook(priced(candle=1)))
    await floor.trader().on_tick()
    assert floor.told == [("opened", BTC), ("cooldown", BTC)]
    assert [fact.signal for fact in floor.stream if isinstance(fact, SignalOpened)] == [signal]


async def test_what_was_opened_long_ago_is_no_news(floor: Floor) -> None:
    await floor.bucket.create(subjects.open_signal(BTC), codec.encode(opened()))
    floor.now += timedelta(days=7)
    await floor.trader().on_tick()
    assert floor.told == []


async def test_signals_fill_the_cap_and_go_no_further(floor: Floor) -> None:
    floor.market.shows(*(outlook(priced(symbol)) for symbol in symbols(40)))
    await floor.trader(rules=replace(PLAIN, max_exposure_pct=12.0)).on_tick()
    assert Counter(what for what, _ in floor.told) == {"opened": 12, "exposure_cap": 28}
    assert len(await floor.open()) == 12


async def test_several_predictors_at_once_keep_the_cap_and_double_nothing(floor: Floor) -> None:
    floor.market.shows(*(outlook(priced(symbol)) for symbol in symbols(40)))
    traders = [floor.trader(rules=replace(PLAIN, max_exposure_pct=12.0)) for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        for trader in traders:
            group.create_task(until_done(trader))
    assert len(await floor.open()) == 12
    assert len(floor.stream) == len({fact.id for fact in floor.stream})
    assert {symbol for what, symbol in floor.told if what == "opened"} == set(await floor.open())


async def until_done(trader: Trader) -> None:
    """As the queue does: what could not be done comes again."""
    while True:
        try:
            return await trader.on_tick()
        except Conflict:
            await asyncio.sleep(0.01)


async def test_room_that_another_predictor_took_meanwhile_is_not_taken_twice(
    floor: Floor,
) -> None:
    class Meanwhile(FakeMarket):
        async def outlook(self, symbol: Symbol) -> Outlook:
            await floor.bucket.create(subjects.open_signal(ETH), codec.encode(opened(ETH)))
            return await super().outlook(symbol)

    floor.market = Meanwhile()
    floor.market.shows(outlook())
    await floor.trader(rules=replace(PLAIN, max_exposure_pct=1.0)).on_tick()
    assert set(await floor.open()) == {ETH}
    assert floor.told == [("exposure_cap", BTC)]


async def test_the_rules_and_the_parameters_in_force_decide(floor: Floor) -> None:
    floor.market.shows(outlook())
    trader = floor.trader()
    mine = SignalParameters(take_profit_atr=3.0, min_confidence=0.9)
    evolved = EvolvedParameters(symbol=BTC, parameters=mine, token=1, epoch="e")
    trader.on_parameters(evolved)
    await trader.on_tick()
    assert floor.told == [("confidence", BTC)]
    trader.on_parameters(replace(evolved, parameters=replace(mine, min_confidence=0.5)))
    await trader.on_tick()
    assert (await floor.open())[BTC].take_profit == 106.0


async def test_parameters_that_were_removed_are_the_defaults_again(floor: Floor) -> None:
    floor.market.shows(outlook())
    trader = floor.trader()
    mine = SignalParameters(min_confidence=0.9)
    trader.on_parameters(EvolvedParameters(symbol=BTC, parameters=mine, token=1, epoch="e"))
    trader.on_parameters_removed(BTC)
    await trader.on_tick()
    assert floor.told == [("opened", BTC)]


async def test_a_tick_during_which_nats_goes_away_is_to_be_done_again(floor: Floor) -> None:
    floor.market.shows(*(outlook(priced(symbol)) for symbol in symbols(20)))
    away = FakeAnnouncements(stream=floor.stream, broken=Unavailable("NATS does not answer"))
    trader = Trader(floor.market, KvOpenings(floor.bucket), away, clock=lambda: floor.now)
    with pytest.raises(Unavailable):
        await trader.on_tick()
    assert away.asked < 20
    await floor.trader().on_tick()
    assert [what for what, _ in floor.told].count("opened") == 20


async def test_a_tick_without_news_asks_for_nothing(floor: Floor) -> None:
    floor.market.shows(*(outlook(priced(symbol), accuracy=0.3) for symbol in symbols(20)))
    announcements = FakeAnnouncements(stream=floor.stream)
    reads: list[str] = []

    class Counted(KvOpenings):
        async def ended(self, symbol: Symbol) -> Signal | None:
            reads.append(symbol)
            return await super().ended(symbol)

    trader = Trader(floor.market, Counted(floor.bucket), announcements, clock=lambda: floor.now)
    await trader.on_tick()
    assert (len(reads), announcements.asked) == (20, 20)
    await trader.on_tick()
    assert (len(reads), announcements.asked) == (20, 20)


async def test_a_tick_lets_others_run_between_symbols(floor: Floor) -> None:
    floor.market.shows(*(outlook(priced(symbol), accuracy=0.3) for symbol in symbols(400)))
    announcements = FakeAnnouncements(stream=floor.stream)
    trader = Trader(floor.market, KvOpenings(floor.bucket), announcements, clock=lambda: floor.now)
    await trader.on_tick()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with alongside(count(), name="count"):
        await trader.on_tick()
    assert turns >= 400 / 8


async def test_what_cannot_be_read_is_no_signal(floor: Floor) -> None:
    await floor.bucket.create(subjects.open_signal(BTC), b"[]")
    floor.market.shows(outlook())
    await floor.trader().on_tick()
    assert set(await floor.open()) == {BTC}
