"""A house that fetches its candles from a market outside."""

from datetime import datetime, timedelta

from services.scheduler.market import Market
from shared.contracts.events import Event
from shared.contracts.records import CandleSummary, Universe
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle, unpack
from shared.market.providers.provider import Provider
from shared.market.store import CandleStore
from tests.support.buckets import MemoryBucket

BTC, ETH = Symbol("BTC/USDT"), Symbol("ETH/USDT")
M15 = Timeframe.M15
HISTORY = 60


class HandClock:
    """A clock that is set by hand."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **passed: float) -> None:
        self.now += timedelta(**passed)


class SlowClock:
    """A clock that is behind another one, by nothing at first."""

    def __init__(self, clock: HandClock) -> None:
        self.behind = timedelta(0)
        self._clock = clock

    def __call__(self) -> datetime:
        return self._clock() - self.behind


class Events(list[Event]):
    async def emit(self, fact: Event) -> None:
        self.append(fact)


class House:
    """A market over a provider, with a store that outlives it."""

    def __init__(self, provider: Provider, clock: HandClock, timeframe: Timeframe = M15) -> None:
        self.store = CandleStore(MemoryBucket())
        self.provider = provider
        self.clock = clock
        self.timeframe = timeframe
        self.market = self.another_market()

    def another_market(self) -> Market:
        return Market(self.provider, self.store, Events(), self.clock)

    async def update(self, *symbols: str) -> dict[str, CandleSummary]:
        wanted = tuple(Symbol(symbol) for symbol in symbols)
        await self.market.update(Universe(symbols=wanted, timeframe=self.timeframe, horizons=(1,)))
        return {summary.symbol: summary for summary in await self.market.summaries()}

    async def next_tick(self, *symbols: str) -> dict[str, CandleSummary]:
        self.clock.advance(minutes=15)
        return await self.update(*symbols)

    async def stored(self, symbol: str) -> list[Candle]:
        return unpack(await self.store.read(Symbol(symbol), self.timeframe))
