"""A predictor that dies during a tick, between any two things that others can see."""

from collections import Counter
from dataclasses import replace
from itertools import count

import pytest

from services.predictor.adapters.openings import KvOpenings
from services.predictor.domain.openings import Openings
from services.predictor.handlers.trader import Trader
from shared.contracts import codec, subjects
from shared.contracts.events import Event, SignalOpened, SignalRejected
from shared.contracts.symbols import Symbol
from shared.contracts.trading import Signal
from tests.support.buckets import MemoryBucket
from tests.support.coordination import symbols
from tests.support.deciding import M15, RULES, FakeAnnouncements, FakeMarket, outlook, priced
from tests.support.predicting import START

#: Room for three signals of one percent each.
PLAIN = replace(RULES, auto_leverage=False, max_exposure_pct=3.0)
EIGHT = symbols(8)
#: Three are opened and told, five are rejected.
STEPS = 11


class Died(BaseException):
    """The process is gone: nothing in it can catch this and go on."""


class Fate:
    """Lets so many steps happen, then none."""

    def __init__(self, steps: int | None) -> None:
        self._steps = count(1) if steps is None else iter(range(steps))
        self.taken = 0

    def step(self) -> None:
        if next(self._steps, None) is None:
            raise Died
        self.taken += 1


class DoomedOpenings(KvOpenings):
    def __init__(self, signals: MemoryBucket, fate: Fate) -> None:
        super().__init__(signals)
        self._fate = fate

    async def open(self, signal: Signal, openings: Openings) -> Openings:
        self._fate.step()
        return await super().open(signal, openings)


class DoomedAnnouncements(FakeAnnouncements):
    fate: Fate

    async def tell(self, fact: Event) -> None:
        self.fate.step()
        await super().tell(fact)


class World:
    """What survives: the bucket and the stream."""

    def __init__(self) -> None:
        self.bucket = MemoryBucket()
        self.stream: list[Event] = []
        self.market = FakeMarket()
        weak = [outlook(priced(symbol), accuracy=0.1) for symbol in EIGHT[:3]]
        self.market.shows(*weak, *(outlook(priced(symbol)) for symbol in EIGHT[3:]))

    async def tick(self, fate: Fate) -> None:
        announcements = DoomedAnnouncements(stream=self.stream)
        announcements.fate = fate
        openings = DoomedOpenings(self.bucket, fate)
        trader = Trader(self.market, openings, announcements, clock=lambda: START + M15)
        trader.on_configuration(PLAIN)
        await trader.on_tick()

    async def open(self) -> dict[Symbol, Signal]:
        entries = await self.bucket.entries(subjects.OPEN_SIGNALS)
        signals = [codec.decode(entry.value, Signal) for entry in entries]
        return {signal.symbol: signal for signal in signals}


async def test_a_whole_tick_has_as_many_steps_as_are_tried_below() -> None:
    fate = Fate(None)
    await World().tick(fate)
    assert fate.taken == STEPS


@pytest.mark.parametrize("steps", range(STEPS))
async def test_whoever_takes_the_tick_of_a_dead_one_finishes_it_and_doubles_nothing(
    steps: int,
) -> None:
    world = World()
    with pytest.raises(BaseExceptionGroup) as death:
        await world.tick(Fate(steps))
    assert death.group_contains(Died)
    await world.tick(Fate(None))
    opened = await world.open()
    assert len(opened) == 3
    told = Counter(fact.id for fact in world.stream)
    assert set(told.values()) == {1}
    assert {fact.symbol for fact in world.stream if isinstance(fact, SignalOpened)} == set(opened)
    refused = {fact.symbol for fact in world.stream if isinstance(fact, SignalRejected)}
    assert refused >= set(EIGHT) - set(opened)
