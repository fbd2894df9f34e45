"""What is open and what was told, on a real nats-server."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from services.predictor.adapters.announcements import Announcements
from services.predictor.adapters.openings import KvOpenings
from services.predictor.handlers.trader import Trader
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.errors import Conflict
from shared.contracts.events import SignalOpened, SignalRejected
from shared.contracts.trading import Signal
from tests.support.coordination import symbols
from tests.support.deciding import (
    M15,
    RULES,
    FakeMarket,
    ended,
    opened,
    outlook,
    priced,
    told_of_signals,
)
from tests.support.predicting import BTC, ETH, START

NOW = START + M15


@pytest.fixture
def signals(connection: Connection) -> Bucket:
    return Bucket(connection, subjects.SIGNALS)


@pytest.fixture
def openings(signals: Bucket) -> KvOpenings:
    return KvOpenings(signals)


def fact_of(signal: Signal) -> SignalOpened:
    return SignalOpened(
        id=f"signal.opened:{signal.id}", at=NOW, symbol=signal.symbol, signal=signal
    )


async def test_a_signal_is_opened_beside_the_others(openings: KvOpenings) -> None:
    first = await openings.open(opened(BTC), await openings.now())
    second = await openings.open(opened(ETH), first)
    assert await openings.now() == second
    assert second.gross_cents == opened(BTC).notional_cents + opened(ETH).notional_cents


async def test_none_is_opened_on_an_old_word_of_what_is_open(
    openings: KvOpenings, signals: Bucket
) -> None:
    nothing = await openings.now()
    one = await openings.open(opened(BTC), nothing)
    with pytest.raises(Conflict):
        await openings.open(opened(ETH), nothing)
    await signals.delete(subjects.open_signal(BTC))
    with pytest.raises(Conflict):
        await openings.open(opened(ETH), one)
    await openings.open(opened(ETH), await openings.now())


async def test_the_last_that_ended_is_found_among_those_of_its_symbol(
    openings: KvOpenings, signals: Bucket
) -> None:
    assert await openings.ended(BTC) is None
    for symbol, candle in ((BTC, -9), (BTC, -5), (ETH, -2)):
        signal = ended(opened(symbol, candle=candle), candles=1)
        await signals.create(subjects.closed_signal(signal.id), codec.encode(signal))
    assert await openings.ended(BTC) == ended(opened(BTC, candle=-5), candles=1)
    await signals.delete(subjects.closed_signal(opened(BTC, candle=-9).id))
    assert await openings.ended(BTC) == ended(opened(BTC, candle=-5), candles=1)


async def test_an_event_is_told_once_though_jetstream_has_forgotten_its_id(
    connection: Connection, publisher: Publisher
) -> None:
    config = (await connection.js.stream_info(subjects.EVENTS)).config
    await connection.js.update_stream(config.evolve(duplicate_window=0.1))
    fact = fact_of(opened(BTC))
    await Announcements(connection, publisher).tell(fact)
    await asyncio.sleep(0.2)  # on the clock of the server
    await publisher.emit(replace(fact, id="signal.opened:of another symbol", symbol=ETH))
    another = Announcements(connection, publisher)
    assert not another.knows(fact)
    await another.tell(fact)
    assert another.knows(fact)
    assert [told.symbol for told in await told_of_signals(connection)] == [BTC, ETH]


async def test_each_of_two_facts_of_a_symbol_is_told(
    connection: Connection, publisher: Publisher
) -> None:
    announcements = Announcements(connection, publisher)
    for candle in (0, 3):
        await announcements.tell(fact_of(opened(candle=candle)))
    assert len(await told_of_signals(connection)) == 2


async def test_two_traders_at_once_keep_the_cap_and_double_nothing(
    connection: Connection, publisher: Publisher, signals: Bucket
) -> None:
    market = FakeMarket()
    market.shows(*(outlook(priced(symbol)) for symbol in symbols(30)))

    async def trade() -> None:
        announcements = Announcements(connection, publisher)
        trader = Trader(market, KvOpenings(signals), announcements, clock=lambda: NOW)
        trader.on_configuration(replace(RULES, auto_leverage=False, max_exposure_pct=9.0))
        while True:
            try:
                return await trader.on_tick()
            except Conflict:
                continue

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(trade())
    facts = await told_of_signals(connection)
    accepted = {fact.symbol for fact in facts if isinstance(fact, SignalOpened)}
    refused = {fact.symbol for fact in facts if isinstance(fact, SignalRejected)}
    assert len(accepted) == 9
    assert accepted | refused == set(symbols(30))
    assert set(Counter(fact.id for fact in facts).values()) == {1}
    assert len(await signals.entries(subjects.OPEN_SIGNALS)) == 9
