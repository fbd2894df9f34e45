import asyncio
from datetime import timedelta

import pytest

from shared.contracts.errors import (
    ArtifactRefused,
    CandlesRefused,
    NotReady,
    Unavailable,
    UnknownHorizon,
    UnknownSymbol,
)
from shared.contracts.requests import PredictRequest, TopRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from tests.support.predicting import (
    BTC,
    ETH,
    START,
    TTL,
    Room,
    candles_updated,
    prediction,
    record,
    running_predictor,
    universe,
)

ASK_BTC = PredictRequest(symbol=BTC)
NEXT = START + timedelta(minutes=15)
DAMAGED = ArtifactRefused("the artifact is damaged")


async def settled() -> None:
    """Long enough for everything that is due, and far shorter than any time to live."""
    await asyncio.sleep(0.5)


async def with_model(room: Room, version: str = "v1") -> None:
    room.predictor.on_universe(universe(BTC))
    room.predictor.on_model(record(version))
    await settled()


async def test_a_promotion_is_computed_and_told_before_anyone_asks() -> None:
    async with running_predictor() as room:
        await with_model(room)
        assert [each.model_version for each in room.predictions.told] == ["v1"]
        assert (await room.predictor.get(ASK_BTC)).cache == "memory"


async def test_a_hit_computes_nothing() -> None:
    async with running_predictor() as room:
        await with_model(room)
        for _ in range(10):
            await room.predictor.get(ASK_BTC)
        assert len(room.candles.reads) == 1
        assert room.cache.figures()["hits"] == 10


async def test_concurrent_askers_of_what_is_missing_share_one_computation() -> None:
    async with running_predictor() as room:
        room.predictor.on_universe(universe(BTC))
        room.predictor.on_model(record())
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(room.predictor.get(ASK_BTC)) for _ in range(50)]
        assert {task.result().cache for task in asked} == {"miss"}
        assert room.candles.reads == [BTC]


async def test_an_asker_who_gives_up_does_not_take_the_answer_from_the_others() -> None:
    async with running_predictor() as room:
        room.predictor.on_universe(universe(BTC))
        room.predictor.on_model(record())
        async with asyncio.TaskGroup() as group:
            impatient = group.create_task(room.predictor.get(ASK_BTC))
            patient = group.create_task(room.predictor.get(ASK_BTC))
            await asyncio.sleep(0)
            impatient.cancel()
        assert patient.result().model_version == "v1"


async def test_a_new_model_is_answered_from_at_once() -> None:
    async with running_predictor() as room:
        await with_model(room, "v1")
        room.predictor.on_model(record("v2"))
        answer = await room.predictor.get(ASK_BTC)
        assert (answer.model_version, answer.stale) == ("v2", False)


async def test_in_a_storm_of_promotions_no_answer_of_an_older_model_is_called_fresh() -> None:
    async with running_predictor() as room:
        await with_model(room, "v0")
        live = "v0"
        fresh = 0

        async def ask_on_and_on() -> None:
            nonlocal fresh
            for _ in range(100):
                answer = await room.predictor.get(ASK_BTC)
                assert answer.stale or answer.model_version == live
                fresh += not answer.stale
                await asyncio.sleep(0.003)

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(ask_on_and_on())
            for number in range(1, 40):
                await asyncio.sleep(0.007 * (number % 9))
                live = f"v{number}"
                room.predictor.on_model(record(live))
        assert fresh > 0


async def test_a_new_candle_is_computed_from_at_once() -> None:
    async with running_predictor() as room:
        await with_model(room)
        room.candles.newest = NEXT
        room.predictor.on_candles(candles_updated(NEXT))
        answer = await room.predictor.get(ASK_BTC)
        assert (answer.candle_at, answer.stale) == (NEXT, False)


async def test_news_during_a_computation_is_not_answered_with_what_was_before() -> None:
    async with running_predictor() as room:
        room.predictor.on_universe(universe(BTC))
        room.predictor.on_model(record())
        await asyncio.sleep(0.015)  # the candles have been read
        room.candles.newest = NEXT
        room.predictor.on_candles(candles_updated(NEXT))
        assert (await room.predictor.get(ASK_BTC)).candle_at == NEXT


async def test_a_burst_of_candles_costs_one_computation_more() -> None:
    async with running_predictor() as room:
        await with_model(room)
        for minute in range(15, 600, 15):
            room.candles.newest = START + timedelta(minutes=minute)
            room.predictor.on_candles(candles_updated(room.candles.newest))
        await settled()
        assert len(room.candles.reads) == 2


async def test_word_of_a_candle_that_is_not_there_does_no_lasting_harm() -> None:
    async with running_predictor() as room:
        await with_model(room)
        room.predictor.on_candles(candles_updated(START + timedelta(days=10_000)))
        await settled()
        answer = await room.predictor.get(ASK_BTC)
        assert (answer.cache, answer.stale) == ("memory", False)


async def test_candles_of_another_timeframe_are_not_ours() -> None:
    async with running_predictor() as room:
        await with_model(room)
        room.predictor.on_candles(candles_updated(NEXT, timeframe=Timeframe.M1))
        await settled()
        assert len(room.candles.reads) == 1


async def test_a_prediction_is_renewed_before_anyone_has_to_wait_for_it() -> None:
    async with running_predictor() as room:
        await with_model(room)
        await asyncio.sleep(0.9 * TTL.total_seconds())
        answer = await room.predictor.get(ASK_BTC)
        assert answer.cache == "memory"
        assert answer.expires_at > START + TTL


async def test_what_cannot_be_renewed_is_stale_when_its_time_is_over() -> None:
    async with running_predictor() as room:
        await with_model(room)
        room.candles.broken = CandlesRefused("the candles are damaged")
        await asyncio.sleep(0.9 * TTL.total_seconds())
        assert not (await room.predictor.get(ASK_BTC)).stale
        await asyncio.sleep(0.2 * TTL.total_seconds())
        answer = await room.predictor.get(ASK_BTC)
        assert answer.stale_reason == (
            "it is older than predictions may be: the candles are damaged"
        )


async def test_a_damaged_model_leaves_the_last_good_one_answering() -> None:
    async with running_predictor() as room:
        await with_model(room, "v1")
        room.models.refused["v2"] = DAMAGED
        room.predictor.on_model(record("v2"))
        answer = await room.predictor.get(ASK_BTC)
        assert (answer.model_version, answer.stale) == ("v1", True)
        assert "the artifact is damaged" in (answer.stale_reason or "")
        assert [problem.code for problem in room.predictor.problems()] == ["artifact_refused"]


async def test_the_last_good_model_follows_the_candles() -> None:
    async with running_predictor() as room:
        await with_model(room, "v1")
        room.models.refused["v2"] = DAMAGED
        room.predictor.on_model(record("v2"))
        room.candles.newest = NEXT
        room.predictor.on_candles(candles_updated(NEXT))
        await settled()
        answer = await room.predictor.get(ASK_BTC)
        assert (answer.model_version, answer.candle_at, answer.stale) == ("v1", NEXT, True)


async def test_everyone_is_told_that_the_newest_is_stale() -> None:
    async with running_predictor() as room:
        await with_model(room, "v1")
        room.models.refused["v2"] = DAMAGED
        room.predictor.on_model(record("v2"))
        await settled()
        assert [each.stale for each in room.predictions.told] == [False, True]


async def test_a_damaged_model_is_not_fetched_in_a_storm() -> None:
    async with running_predictor() as room:
        await with_model(room, "v1")
        room.models.refused["v2"] = DAMAGED
        room.predictor.on_model(record("v2"))
        for _ in range(600):
            await room.predictor.get(ASK_BTC)
            await asyncio.sleep(0.1)
        assert room.models.loads.count("v2") <= 7  # in a minute
        assert len(room.candles.reads) <= 8


async def test_a_model_that_is_mended_is_taken_without_being_told() -> None:
    async with running_predictor() as room:
        await with_model(room, "v1")
        room.models.refused["v2"] = DAMAGED
        room.predictor.on_model(record("v2"))
        await settled()
        room.models.refused.clear()
        await asyncio.sleep(10)
        answer = await room.predictor.get(ASK_BTC)
        assert (answer.model_version, answer.stale) == ("v2", False)
        assert room.predictor.problems() == ()


async def test_a_failing_symbol_is_not_retried_in_a_storm() -> None:
    async with running_predictor() as room:
        room.candles.broken = CandlesRefused("the candles are damaged")
        await with_model(room)
        for second in range(600):
            room.predictor.on_candles(candles_updated(START + timedelta(seconds=second)))
            with pytest.raises(NotReady, match="the candles are damaged"):
                await room.predictor.get(ASK_BTC)
            await asyncio.sleep(0.1)
        assert len(room.candles.reads) <= 7


async def test_a_failing_symbol_does_not_hold_up_another() -> None:
    async with running_predictor() as room:
        room.models.refused["broken"] = DAMAGED
        room.predictor.on_universe(universe(BTC, ETH))
        room.predictor.on_model(record("broken"))
        room.predictor.on_model(record("v1", symbol=ETH))
        await settled()
        assert not (await room.predictor.get(PredictRequest(symbol=ETH))).stale


async def test_when_computing_takes_too_long_the_answer_is_stale_but_comes() -> None:
    async with running_predictor() as room:
        await with_model(room)
        room.candles.delay_s = 60.0
        room.predictor.on_candles(candles_updated(NEXT))
        async with asyncio.timeout(4):
            answer = await room.predictor.get(ASK_BTC)
        assert answer.stale_reason == "a newer candle has closed"


async def test_after_a_reconnect_everything_is_looked_at_again() -> None:
    async with running_predictor() as room:
        await with_model(room)
        room.candles.newest = NEXT  # and nobody said so
        room.predictor.on_reconnect()
        await settled()
        assert (await room.predictor.get(ASK_BTC)).candle_at == NEXT


async def test_what_could_not_be_told_is_told_later() -> None:
    async with running_predictor() as room:
        room.predictions.broken = Unavailable("NATS does not answer")
        await with_model(room)
        room.predictions.broken = None
        await asyncio.sleep(5)
        assert [each.model_version for each in room.predictions.told] == ["v1"]


async def test_without_caching_every_question_is_computed_anew() -> None:
    async with running_predictor(caching=False) as room:
        await with_model(room)
        answers = [await room.predictor.get(ASK_BTC) for _ in range(3)]
        assert [(each.cache, each.stale) for each in answers] == [("miss", False)] * 3
        assert len(room.candles.reads) == 4


async def test_an_answer_of_an_earlier_life_serves_until_there_is_a_better_one() -> None:
    async with running_predictor() as room:
        room.models.refused["v2"] = DAMAGED
        room.predictor.on_told(prediction(version="v1"))
        await with_model(room, "v2")
        answer = await room.predictor.get(ASK_BTC)
        assert (answer.model_version, answer.stale) == ("v1", True)


async def test_a_symbol_outside_the_universe_is_unknown() -> None:
    async with running_predictor() as room:
        await with_model(room)
        with pytest.raises(UnknownSymbol, match="ETH/USDT is not in the universe"):
            await room.predictor.get(PredictRequest(symbol=ETH))


async def test_before_there_is_a_universe_no_symbol_is_called_unknown() -> None:
    async with running_predictor() as room:
        with pytest.raises(NotReady, match="scheduler"):
            await room.predictor.get(ASK_BTC)


async def test_a_symbol_without_a_model_is_not_ready() -> None:
    async with running_predictor() as room:
        room.predictor.on_universe(universe(BTC))
        with pytest.raises(NotReady, match="no model of BTC/USDT yet"):
            await room.predictor.get(ASK_BTC)


async def test_an_unknown_horizon_lists_those_of_the_model() -> None:
    async with running_predictor() as room:
        await with_model(room)
        with pytest.raises(UnknownHorizon, match="there are 1, 3"):
            await room.predictor.get(PredictRequest(symbol=BTC, horizon=2))


async def test_a_removed_symbol_leaves_the_top_list_and_is_computed_no_more() -> None:
    async with running_predictor() as room:
        room.predictor.on_universe(universe(BTC, ETH))
        room.predictor.on_model(record(symbol=BTC))
        room.predictor.on_model(record(symbol=ETH))
        await settled()
        room.predictor.on_universe(universe(ETH))
        room.predictor.on_candles(candles_updated(NEXT, symbol=BTC))
        await settled()
        assert [line.symbol for line in await room.predictor.top(TopRequest())] == [ETH]
        assert room.candles.reads == [BTC, ETH]


async def test_a_symbol_that_comes_back_is_computed_again() -> None:
    async with running_predictor() as room:
        await with_model(room)
        room.predictor.on_universe(universe(ETH))
        room.candles.newest = NEXT
        room.predictor.on_universe(universe(BTC, ETH))
        await settled()
        assert (await room.predictor.get(ASK_BTC)).candle_at == NEXT


async def test_a_withdrawn_model_is_no_model() -> None:
    async with running_predictor() as room:
        await with_model(room)
        room.predictor.on_model_removed(BTC)
        with pytest.raises(NotReady):
            await room.predictor.get(ASK_BTC)
        assert await room.predictor.top(TopRequest()) == []


async def test_many_symbols_are_computed_a_few_at_a_time_and_an_asker_comes_first() -> None:
    many = [Symbol(f"S{number}") for number in range(200)]
    async with running_predictor() as room:
        room.predictor.on_universe(universe(*many))
        for symbol in many:
            room.predictor.on_model(record(symbol=symbol))
        await room.predictor.get(PredictRequest(symbol=many[-1]))
        assert len(room.candles.reads) < 12


async def test_without_caching_a_failing_symbol_is_not_retried_in_a_storm() -> None:
    async with running_predictor(caching=False) as room:
        room.candles.broken = CandlesRefused("the candles are damaged")
        await with_model(room)
        for _ in range(600):
            with pytest.raises(NotReady, match="the candles are damaged"):
                await room.predictor.get(ASK_BTC)
            await asyncio.sleep(0.1)
        assert len(room.candles.reads) <= 7
