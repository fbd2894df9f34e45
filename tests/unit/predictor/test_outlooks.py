import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from services.predictor.handlers.outlooks import Outlooks
from shared.contracts.errors import CandlesRefused
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from tests.support.deciding import score
from tests.support.predicting import (
    BTC,
    ETH,
    START,
    Room,
    candles_updated,
    record,
    running_predictor,
    universe,
)

NEXT = START + timedelta(minutes=15)


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with running_predictor() as room:
        yield room


@pytest.fixture
async def outlooks(room: Room) -> Outlooks:
    """Of a universe with BTC, which has a model, and ETH, which has none."""
    loop = asyncio.get_running_loop()
    outlooks = Outlooks(
        room.desks, room.predictor, clock=lambda: START + timedelta(seconds=loop.time())
    )
    for hear in (room.predictor.on_universe, outlooks.on_universe):
        hear(universe(BTC, ETH))
    room.predictor.on_model(replace(record(), scores=(score(1),)))
    return outlooks


async def test_it_is_of_the_newest_prediction_and_of_the_scores_of_its_model(
    outlooks: Outlooks,
) -> None:
    found = await outlooks.outlook(BTC)
    assert found.prediction is not None
    assert (found.prediction.model_version, found.prediction.stale) == ("v1", False)
    assert found.scores == (score(1),)
    assert found.timeframe is Timeframe.M15


async def test_what_is_being_computed_is_waited_for(room: Room, outlooks: Outlooks) -> None:
    await outlooks.outlook(BTC)
    room.candles.newest = NEXT
    room.predictor.on_candles(candles_updated(NEXT))
    found = await outlooks.outlook(BTC)
    assert found.prediction is not None
    assert (found.prediction.candle_at, found.prediction.stale) == (NEXT, False)


async def test_what_cannot_be_computed_is_stale_and_is_not_waited_for_again(
    room: Room, outlooks: Outlooks
) -> None:
    await outlooks.outlook(BTC)
    room.candles.broken = CandlesRefused("a candle is damaged")
    room.predictor.on_candles(candles_updated(NEXT))
    first = await outlooks.outlook(BTC)
    assert first.prediction is not None
    assert first.prediction.stale
    reads = len(room.candles.reads)
    await outlooks.outlook(BTC)
    assert len(room.candles.reads) == reads


async def test_without_a_prediction_it_says_why(outlooks: Outlooks) -> None:
    found = await outlooks.outlook(ETH)
    assert found.prediction is None
    assert found.note == "there is no model of ETH/USDT yet: train it first"


async def test_nobody_asked_for_it_so_it_is_not_counted(room: Room, outlooks: Outlooks) -> None:
    before = dict(room.predictor.counted)
    await outlooks.outlook(BTC)
    await outlooks.outlook(BTC)
    counted = {name: room.predictor.counted[name] for name in ("memory", "disk", "miss")}
    assert counted == {name: before.get(name, 0) for name in counted}


async def test_the_universe_of_now_is_covered(outlooks: Outlooks) -> None:
    assert outlooks.covered() == (BTC, ETH)
    outlooks.on_universe(universe(Symbol("SOL/USDT")))
    assert outlooks.covered() == (Symbol("SOL/USDT"),)
