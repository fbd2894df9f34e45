import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.trainer.adapters.peers import LiveSlopes
from services.trainer.domain.slopes import Slope, Slopes, expected
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.contracts import codec, subjects
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.runtime.tasks import alongside
from tests.support.coordination import model_record
from tests.support.models import made_up_score

ONE, ANOTHER = Symbol("BTC/USDT"), Symbol("ETH/USDT")
NOTHING = {1: expected([])}


@pytest.fixture
async def slopes(connection: Connection) -> AsyncIterator[LiveSlopes]:
    mirror = LiveSlopes(connection)
    async with alongside(mirror.follow(), name="slopes"):
        yield mirror


async def _promote(connection: Connection, symbol: Symbol, mean: float) -> None:
    score = replace(made_up_score(horizon=1), slope=mean, slope_error=0.1)
    model = replace(model_record(symbol), scores=(score,))
    await Bucket(connection, subjects.MODELS).put(symbol.token, codec.encode(model))


async def _until(slopes: LiveSlopes, symbol: Symbol, known: Slopes) -> None:
    async with asyncio.timeout(10):
        while slopes.beside(symbol, Timeframe.D1, (1,)) != known:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_symbol_is_expected_by_the_newest_models_of_the_others_of_its_timeframe(
    slopes: LiveSlopes, connection: Connection
) -> None:
    await _promote(connection, ONE, 0.9)
    await _promote(connection, ONE, 0.2)
    await _until(slopes, ANOTHER, {1: expected([Slope(mean=0.2, spread=0.1)])})
    assert slopes.beside(ONE, Timeframe.D1, (1,)) == NOTHING
    assert slopes.beside(ANOTHER, Timeframe.M15, (1,)) == NOTHING


async def test_a_model_that_is_gone_says_nothing_any_more(
    slopes: LiveSlopes, connection: Connection
) -> None:
    await _promote(connection, ONE, 0.2)
    await _until(slopes, ANOTHER, {1: expected([Slope(mean=0.2, spread=0.1)])})
    await Bucket(connection, subjects.MODELS).delete(ONE.token)
    await _until(slopes, ANOTHER, NOTHING)
