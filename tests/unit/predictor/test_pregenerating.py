import asyncio
from datetime import timedelta

import pytest

from shared.contracts.errors import CandlesRefused, UnknownSymbol
from shared.contracts.requests import PredictRequest, PregenerateRequest
from shared.contracts.symbols import Symbol
from tests.support.predicting import (
    BTC,
    ETH,
    TTL,
    Room,
    record,
    running_predictor,
    universe,
)

ASK_BTC = PredictRequest(symbol=BTC)
MANY = tuple(Symbol(f"S{number}") for number in range(100))
IN_ADVANCE = PregenerateRequest(ttl_hours=24)


async def settled() -> None:
    """Long enough for everything that is due, and far shorter than any time to live."""
    await asyncio.sleep(0.5)


async def with_models(room: Room, *symbols: Symbol) -> None:
    room.predictor.on_universe(universe(*symbols))
    for symbol in symbols:
        room.predictor.on_model(record(symbol=symbol))
    await asyncio.sleep(0.1 * len(symbols))


async def test_predictions_made_in_advance_last_as_long_as_they_are_to() -> None:
    async with running_predictor() as room:
        await with_models(room, BTC)
        found = await room.pregenerator.pregenerate(IN_ADVANCE)
        assert (found.made, found.failed, found.waiting) == (1, 0, 0)
        answer = await room.predictor.get(ASK_BTC)
        assert answer.expires_at - answer.generated_at == timedelta(hours=24)
        room.predictor.on_model(record("v2"))
        answer = await room.predictor.get(ASK_BTC)
        assert answer.expires_at - answer.generated_at == TTL


async def test_without_a_time_to_live_predictions_are_made_anew_as_usual() -> None:
    async with running_predictor() as room:
        await with_models(room, BTC)
        await room.pregenerator.pregenerate(IN_ADVANCE)
        await room.pregenerator.pregenerate(PregenerateRequest())
        answer = await room.predictor.get(ASK_BTC)
        assert answer.expires_at - answer.generated_at == TTL
        assert len(room.candles.reads) == 3


async def test_what_cannot_be_made_in_advance_is_counted() -> None:
    async with running_predictor() as room:
        room.predictor.on_universe(universe(BTC, ETH))
        room.predictor.on_model(record())
        await settled()
        room.candles.broken = CandlesRefused("damaged")
        found = await room.pregenerator.pregenerate(IN_ADVANCE)
        assert (found.made, found.failed, found.waiting) == (0, 1, 1)
        with pytest.raises(UnknownSymbol):
            await room.pregenerator.pregenerate(PregenerateRequest(symbols=(Symbol("DOGE"),)))
