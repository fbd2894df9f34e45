import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.contracts.errors import CandlesRefused, UnknownSymbol
from shared.contracts.records import Prediction, Pregeneration
from shared.contracts.requests import PredictRequest, PregenerateRequest
from shared.contracts.symbols import Symbol
from tests.support.predicting import (
    BTC,
    ETH,
    START,
    STEP_S,
    TTL,
    FakeDisk,
    Room,
    forecast,
    prediction,
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


async def test_several_are_made_at_once() -> None:
    async with running_predictor() as room:
        await with_models(room, *MANY)
        began = asyncio.get_running_loop().time()
        found = await room.pregenerator.pregenerate(IN_ADVANCE)
        took = asyncio.get_running_loop().time() - began
        assert found.made == 100
        work_and_rest = 2 * (3 + 1) * STEP_S  # computed, and told
        assert took == pytest.approx(100 / 3 * work_and_rest, rel=0.1)


async def test_who_asks_meanwhile_finds_a_free_turn() -> None:
    async with running_predictor() as room:
        await with_models(room, *MANY)
        room.predictor.on_universe(universe(*MANY, BTC))
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            group.create_task(room.pregenerator.pregenerate(IN_ADVANCE))
            await asyncio.sleep(0.1)
            room.predictor.on_model(record())
            asked = loop.time()
            answer = await room.predictor.get(ASK_BTC)
            waited = loop.time() - asked
        assert (answer.cache, answer.stale) == ("miss", False)
        assert waited == pytest.approx(3 * STEP_S)


async def test_who_asks_for_what_is_known_does_not_wait_at_all() -> None:
    async with running_predictor() as room:
        await with_models(room, *MANY)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            group.create_task(room.pregenerator.pregenerate(IN_ADVANCE))
            await asyncio.sleep(0.1)
            asked = loop.time()
            assert (await room.predictor.get(PredictRequest(symbol=MANY[-1]))).cache == "memory"
            assert loop.time() == asked


async def test_what_was_just_made_is_kept_when_asked_again() -> None:
    async with running_predictor() as room:
        await with_models(room, *MANY)
        await room.pregenerator.pregenerate(IN_ADVANCE)
        reads = len(room.candles.reads)
        found = await room.pregenerator.pregenerate(IN_ADVANCE)
        assert (found.made, found.kept) == (0, 100)
        assert len(room.candles.reads) == reads
        await asyncio.sleep(3 * 3600)
        assert (await room.pregenerator.pregenerate(IN_ADVANCE)).made == 100


async def test_after_a_death_in_the_middle_it_goes_on_where_it_ended() -> None:
    disk = FakeDisk()
    async with running_predictor(disk=disk) as room:
        await with_models(room, *MANY)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await room.pregenerator.pregenerate(IN_ADVANCE)
        made = sum(lasting(kept) for kept in disk.kept.values())
        assert 0 < made < 100
    async with running_predictor(disk=disk) as room:
        await with_models(room, *MANY)
        found = await room.pregenerator.pregenerate(IN_ADVANCE)
        assert (found.made, found.kept, found.failed) == (100 - made, made, 0)
        assert all(map(lasting, disk.kept.values()))


def lasting(prediction: Prediction) -> bool:
    return prediction.expires_at - prediction.generated_at == timedelta(hours=24)


async def test_two_who_ask_at_once_have_it_done_once() -> None:
    async with running_predictor() as room:
        await with_models(room, *MANY)
        async with asyncio.TaskGroup() as group:
            both = [group.create_task(room.pregenerator.pregenerate(IN_ADVANCE)) for _ in range(2)]
        assert sorted(task.result().made for task in both) == [0, 100]


async def test_it_says_how_far_it_is() -> None:
    async with running_predictor() as room:
        await with_models(room, *MANY)
        assert room.pregenerator.progress is None
        began = START + timedelta(seconds=asyncio.get_running_loop().time())
        async with asyncio.TaskGroup() as group:
            group.create_task(room.pregenerator.pregenerate(IN_ADVANCE))
            await asyncio.sleep(0.5)
            progress = room.pregenerator.progress
            assert progress is not None
            assert progress.running
            assert 0 < progress.done < progress.of == 100
        assert room.pregenerator.progress == Pregeneration(
            running=False, done=100, of=100, failed=0, since=began
        )


async def test_what_another_predictor_made_to_last_lasts_here_too() -> None:
    async with running_predictor() as room:
        await with_models(room, BTC)
        ours = await room.predictor.get(ASK_BTC)
        theirs = replace(ours, expires_at=ours.generated_at + timedelta(hours=24))
        room.predictor.on_told(theirs)
        assert await room.predictor.get(ASK_BTC) == theirs


async def test_what_another_predictor_had_told_before_lasts_here_too() -> None:
    async with running_predictor() as room:
        theirs = prediction(BTC, forecast(1), forecast(3), ttl=timedelta(hours=24))
        room.predictions.known[BTC] = theirs
        await with_models(room, BTC)
        assert await room.predictor.get(ASK_BTC) == theirs
        await asyncio.sleep(5 * 3600)
        assert await room.predictor.get(ASK_BTC) == theirs


async def test_what_another_predictor_says_of_another_candle_lasts_no_longer_here() -> None:
    async with running_predictor() as room:
        await with_models(room, BTC)
        ours = await room.predictor.get(ASK_BTC)
        for theirs in (
            replace(ours, candle_at=ours.candle_at - timedelta(minutes=15)),
            replace(ours, model_version="v0"),
            replace(ours, stale=True, stale_reason="a newer candle has closed"),
        ):
            lasting_long = replace(theirs, expires_at=ours.expires_at + timedelta(hours=24))
            room.predictor.on_told(lasting_long)
            assert await room.predictor.get(ASK_BTC) == ours
