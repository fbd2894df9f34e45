"""A tick over all symbols, from predictions at hand to events in the stream."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import uvloop

from services.predictor.adapters.announcements import Announcements
from services.predictor.adapters.openings import KvOpenings
from services.predictor.handlers.trader import Trader
from shared.bus import topology
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.embedded import embedded_server
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.events import SignalRejected
from shared.contracts.symbols import Symbol
from shared.contracts.trading import Rejection
from shared.runtime.tasks import alongside
from shared.trading.signals import Standing, decide
from tests.benchmarks.measure import Row, Section, at_most, median, paired, times_more, value
from tests.benchmarks.measure import seconds as taken
from tests.benchmarks.plan import Plan
from tests.support.deciding import M15, PARAMETERS, RULES, FakeMarket, outlook, priced
from tests.support.predicting import START

_NOW: Final = START + M15
#: Room for a hundred signals at 1x.
_RULES: Final = replace(RULES, auto_leverage=False, max_exposure_pct=100.0)


def measure(plan: Plan) -> Section:
    with tempfile.TemporaryDirectory() as folder:
        rows = uvloop.run(_measured(Path(folder), plan))
    return Section(
        title="Signals",
        notes=(
            f"CPU time of the predictor's process for one tick over {plan.cold} symbols whose "
            "predictions are at hand, on an embedded server. Each new candle rejects every symbol "
            "anew: a look at its last signal, one at its last event, and an event. The yardstick "
            "is bare nats-py that publishes the same events, one after the other.",
            "The longest hold is the most CPU time that passed between two turns of another task "
            "during those ticks.",
        ),
        rows=rows,
    )


async def _measured(folder: Path, plan: Plan) -> tuple[Row, ...]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(embedded_server(folder))
        options = NatsOptions(servers=(url,))
        connection = await stack.enter_async_context(connected(options, name="benchmark"))
        await topology.ensure(connection)
        floor = _Floor(connection, plan.cold)
        turns, again = [], []
        for _ in range(plan.turns):
            floor.next_candle(accuracy=0.3)
            turns.append((await _cpu(floor.tick), await _cpu(floor.publish_the_same)))
            again.append(await _cpu(floor.tick))
        floor.next_candle(accuracy=0.9)
        opening = await _cpu(floor.tick)
    decision = taken(lambda: _decided(floor), times=10 * plan.turns) / plan.cold
    return (
        value("one decision", decision, "us", at_most(200.0)),
        times_more("a tick on a new candle", paired(turns), "ms", at_most(4.0)),
        value("a tick without news", median(again), "ms", at_most(100.0)),
        value("a tick that opens signals up to the cap", opening, "ms", at_most(1000.0)),
        value("the longest hold of the loop", floor.longest_hold, "ms", at_most(10.0)),
    )


class _Floor:
    """A trader, its symbols, and what the loop went through."""

    def __init__(self, connection: Connection, count: int) -> None:
        self.symbols = tuple(Symbol(f"S{number:03}/USDT") for number in range(count))
        self.market = FakeMarket()
        self.longest_hold = 0.0
        self._candle = 0
        self._js = connection.js
        self._trader = Trader(
            self.market,
            KvOpenings(Bucket(connection, subjects.SIGNALS)),
            Announcements(connection, Publisher(connection)),
            clock=lambda: _NOW,
        )
        self._trader.on_configuration(_RULES)

    def next_candle(self, *, accuracy: float) -> None:
        self._candle += 1
        made = (priced(symbol, candle=self._candle) for symbol in self.symbols)
        self.market.shows(*(outlook(one, accuracy=accuracy) for one in made))

    async def tick(self) -> None:
        async with alongside(self._watch(), name="watch"):
            await asyncio.sleep(0)
            await self._trader.on_tick()

    async def publish_the_same(self) -> None:
        for rejection in _decided(self):
            fact = SignalRejected(
                id=f"bare:{rejection.id}", at=_NOW, symbol=rejection.symbol, rejection=rejection
            )
            await self._js.publish(
                subjects.event(fact), codec.encode(fact), headers={"Nats-Msg-Id": fact.id}
            )

    async def _watch(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            self.longest_hold = max(self.longest_hold, time.thread_time() - before)


def _decided(floor: _Floor) -> list[Rejection]:
    """What the rules alone say, and only what they reject."""
    decisions = [
        decide(one, Standing(), PARAMETERS, _RULES, _NOW) for one in floor.market.outlooks.values()
    ]
    return [decision for decision in decisions if isinstance(decision, Rejection)]


async def _cpu(work: Callable[[], Awaitable[None]]) -> float:
    started = time.process_time()
    await work()
    return time.process_time() - started
