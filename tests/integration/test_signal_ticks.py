"""Ticks in real predictors: one that is killed in the middle, and two at once."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.objects import Artifacts
from shared.contracts import codec, subjects
from shared.contracts.configuration import Configured
from shared.contracts.events import SignalOpened, SignalRejected
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.contracts.trading import EvolvedParameters, SignalParameters
from shared.market.candles import Candle, unpack
from shared.market.store import CandleStore
from shared.model.artifact import encode
from shared.model.history import WARMUP
from tests.support.deciding import SignalFact, score, told_of_signals
from tests.support.markets import random_walk
from tests.support.models import made_up_model
from tests.support.predicting import START, record, universe
from tests.support.system import eventually

SYMBOLS = tuple(Symbol(f"S{number:03}/USDT") for number in range(100))
CANDLES = unpack(random_walk(WARMUP + 12, timeframe=Timeframe.M15).tobytes())
FIRST = WARMUP + 10
#: Every prediction is worth a signal, and there is room for forty.
RULES = Configured(
    revision=1,
    changed_at=START,
    changed_by="nats",
    min_accuracy_target=0.0,
    min_net_profit_pct=0.0,
    min_confidence_threshold=0.5,
    fee_pct=0.0,
    slippage_pct=0.0,
    auto_leverage=False,
    max_exposure_pct=40.0,
)
ROOM = 40


class Market:
    """Every symbol with candles and a model, and the clock that ticks."""

    def __init__(self, connection: Connection, url: str, data_dir: Path) -> None:
        self._connection = connection
        self._url = url
        self._data_dir = data_dir
        self._signals = Bucket(connection, subjects.SIGNALS)
        self._candles = CandleStore(Bucket(connection, subjects.CANDLES))

    async def begins(self) -> None:
        config = Bucket(self._connection, subjects.CONFIG)
        await config.put(subjects.UNIVERSE, codec.encode(universe(*SYMBOLS)))
        await self.rules(RULES)
        async with asyncio.TaskGroup() as group:
            for symbol in SYMBOLS:
                group.create_task(self._begins(symbol))

    async def _begins(self, symbol: Symbol) -> None:
        model = made_up_model(seed=SYMBOLS.index(symbol))
        own = replace(model, card=replace(model.card, symbol=symbol))
        sha256 = await Artifacts(self._connection).put(encode(own))
        live = replace(record(symbol=symbol, sha256=sha256), scores=(score(1), score(3)))
        await Bucket(self._connection, subjects.MODELS).put(symbol.token, codec.encode(live))
        await self.moves(symbol, CANDLES[:FIRST])

    async def rules(self, configured: Configured) -> None:
        config = Bucket(self._connection, subjects.CONFIG)
        await config.put(subjects.CONFIGURATION, codec.encode(configured))

    async def evolves(self, symbol: Symbol, parameters: SignalParameters) -> None:
        evolved = EvolvedParameters(symbol=symbol, parameters=parameters, token=1, epoch="epoch")
        bucket = Bucket(self._connection, subjects.PARAMETERS)
        await bucket.put(symbol.token, codec.encode(evolved))

    async def moves(self, symbol: Symbol, candles: list[Candle]) -> None:
        await self._candles.append(symbol, Timeframe.M15, candles)

    async def ticks(self) -> None:
        await self._connection.js.publish(subjects.tick(subjects.SIGNAL_TICK), b"")

    async def tick_is_done(self) -> bool:
        """Whether every tick so far was taken, and acknowledged."""
        try:
            consumer = await self._connection.js.consumer_info(subjects.CLOCK, "signal-ticks")
        except NotFoundError:
            return False
        return not (consumer.num_pending or consumer.num_ack_pending)

    @asynccontextmanager
    async def predictor(self, name: str = "one") -> AsyncIterator[asyncio.subprocess.Process]:
        """One that is killed at the end of the body, if not before."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "services.predictor"),
            env=os.environ | {"NATS_URL": self._url, "DATA_DIR": str(self._data_dir / name)},
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def told(self) -> list[SignalFact]:
        return await told_of_signals(self._connection)

    async def open(self) -> set[Symbol]:
        entries = await self._signals.entries(subjects.OPEN_SIGNALS)
        return {Symbol.from_token(entry.key.removeprefix("open.")) for entry in entries}

    @asynccontextmanager
    async def first_event(self) -> AsyncIterator[asyncio.Event]:
        """Set at the first event of a signal that is told while the body runs."""
        seen = asyncio.Event()

        async def see(_: object) -> None:
            seen.set()

        subscription = await self._connection.client.subscribe("evertrain.event.signal.>", cb=see)
        await self._connection.client.flush()
        try:
            yield seen
        finally:
            await subscription.unsubscribe()


@pytest.fixture
async def market(connection: Connection, nats_url: str, tmp_path: Path) -> Market:
    market = Market(connection, nats_url, tmp_path)
    await market.begins()
    return market


def decided(facts: list[SignalFact]) -> set[Symbol]:
    return {fact.symbol for fact in facts}


async def nothing_is_lost_or_doubled(market: Market) -> None:
    facts = await market.told()
    assert decided(facts) == set(SYMBOLS)
    assert set(Counter(fact.id for fact in facts).values()) == {1}
    accepted = {fact.symbol for fact in facts if isinstance(fact, SignalOpened)}
    assert accepted == await market.open()
    assert len(accepted) == ROOM
    reasons = {fact.rejection.reason for fact in facts if isinstance(fact, SignalRejected)}
    assert reasons <= {"exposure_cap", "already_open"}


async def test_a_tick_whose_predictor_is_killed_is_finished_by_the_next_one(
    market: Market,
) -> None:
    async with market.predictor("one") as process, market.first_event() as first:
        await market.ticks()
        async with asyncio.timeout(40):
            await first.wait()
        process.kill()
        await process.wait()
    left = set(SYMBOLS) - decided(await market.told())
    assert left, "it was quicker than its death"

    async with market.predictor("two"):
        await eventually(market.tick_is_done, within=40)
    await nothing_is_lost_or_doubled(market)


async def test_two_predictors_that_share_the_ticks_tell_each_decision_once(
    market: Market,
) -> None:
    async with market.predictor("one"), market.predictor("two"):
        for _ in range(4):
            await market.ticks()
            await eventually(market.tick_is_done, within=40)
    await nothing_is_lost_or_doubled(market)
    # Those that were opened, too, at a later tick. A tick that comes to the other predictor before
    # the book is full refuses some as open already; for the later ones it is full.
    rejected = {fact.symbol for fact in await market.told() if isinstance(fact, SignalRejected)}
    assert rejected == set(SYMBOLS)


async def test_what_is_configured_and_what_has_evolved_hold_from_the_next_tick(
    market: Market,
) -> None:
    await market.rules(replace(RULES, min_accuracy_target=1.0))
    stubborn = SYMBOLS[0]

    async def the_change_is_heard() -> bool:
        await market.ticks()
        await eventually(market.tick_is_done, within=40)
        return len(await market.open()) == ROOM

    async with market.predictor():
        await market.ticks()
        await eventually(market.tick_is_done, within=40)
        facts = [fact for fact in await market.told() if isinstance(fact, SignalRejected)]
        assert {fact.rejection.reason for fact in facts} == {"accuracy"}
        await market.evolves(stubborn, SignalParameters(min_confidence=1.0))
        await market.rules(RULES)
        await eventually(the_change_is_heard, within=40)
    facts = [fact for fact in await market.told() if isinstance(fact, SignalRejected)]
    assert [fact.rejection.reason for fact in facts if fact.symbol == stubborn] == [
        "accuracy",
        "confidence",
    ]
