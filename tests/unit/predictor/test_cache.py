import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.contracts import codec
from shared.contracts.errors import CandlesRefused, UnknownSymbol
from shared.contracts.records import CacheReport, Prediction, Problem
from shared.contracts.requests import CacheRequest, ClearCacheRequest, PredictRequest
from shared.contracts.symbols import Symbol
from tests.support.predicting import (
    BTC,
    ETH,
    START,
    TTL,
    FakeDisk,
    Room,
    candles_updated,
    forecast,
    prediction,
    record,
    running_predictor,
    universe,
)

ASK_BTC = PredictRequest(symbol=BTC)
NEXT = START + timedelta(minutes=15)
FORECASTS = (forecast(1, p_up=0.9), forecast(3, p_up=0.9))
KEPT = prediction(BTC, *FORECASTS, generated_at=START - 0.25 * TTL)


async def with_models(room: Room, *symbols: Symbol, version: str = "v1") -> None:
    room.predictor.on_universe(universe(*symbols))
    for symbol in symbols:
        room.predictor.on_model(record(version, symbol=symbol))
    await asyncio.sleep(0.5)


async def test_after_a_restart_the_disk_answers_and_nothing_is_computed() -> None:
    async with running_predictor(disk=FakeDisk(kept={BTC: KEPT})) as room:
        await with_models(room, BTC)
        answers = [await room.predictor.get(ASK_BTC) for _ in range(2)]
        assert answers == [replace(KEPT, cache="disk"), KEPT]
        assert room.models.loads == []


async def test_it_answers_whoever_asks_before_anything_was_looked_for() -> None:
    async with running_predictor(disk=FakeDisk(kept={BTC: KEPT})) as room:
        room.predictor.on_universe(universe(BTC))
        room.predictor.on_model(record())
        assert (await room.predictor.get(ASK_BTC)).cache == "disk"


@pytest.mark.parametrize(
    "other",
    [
        replace(KEPT, candle_at=START - timedelta(minutes=15)),
        replace(KEPT, model_version="v0"),
        replace(KEPT, expires_at=START),
    ],
    ids=["older candle", "other model", "expired"],
)
async def test_what_would_not_be_computed_now_is_not_taken_from_disk(other: Prediction) -> None:
    async with running_predictor(disk=FakeDisk(kept={BTC: other})) as room:
        await with_models(room, BTC)
        answer = await room.predictor.get(ASK_BTC)
        assert (answer.cache, answer.candle_at, answer.model_version) == ("memory", START, "v1")
        assert answer.predictions != FORECASTS


async def test_what_the_disk_had_is_renewed_before_its_time_is_over() -> None:
    async with running_predictor(disk=FakeDisk(kept={BTC: KEPT})) as room:
        await with_models(room, BTC)
        await asyncio.sleep(0.5 * TTL.total_seconds())
        answer = await room.predictor.get(ASK_BTC)
        assert answer.cache == "memory"
        assert answer.generated_at > START


async def test_a_rollback_finds_on_disk_what_the_earlier_model_said() -> None:
    async with running_predictor() as room:
        await with_models(room, BTC, version="v1")
        said = await room.predictor.get(ASK_BTC)
        room.disk.kept.clear()
        room.predictor.on_model(record("v2"))
        await asyncio.sleep(0.5)
        room.disk.kept[BTC] = said
        room.predictor.on_model(record("v1"))
        answer = await room.predictor.get(ASK_BTC)
        assert answer == replace(said, cache="disk")


async def test_what_is_computed_is_kept_on_disk_once() -> None:
    async with running_predictor() as room:
        await with_models(room, BTC)
        assert room.disk.kept == {BTC: await room.predictor.get(ASK_BTC)}
        room.disk.kept.clear()
        room.candles.broken = CandlesRefused("damaged")
        room.predictor.on_candles(candles_updated(NEXT))
        await asyncio.sleep(0.5)
        assert room.disk.kept == {}


async def test_an_answer_from_memory_is_encoded_before_it_is_asked_for() -> None:
    async with running_predictor() as room:
        await with_models(room, BTC)
        replies = [await room.predictor.reply(ASK_BTC) for _ in range(2)]
        assert replies[0] is replies[1]
        assert codec.decode(replies[0], Prediction) == await room.predictor.get(ASK_BTC)


async def test_other_answers_are_encoded_as_they_are() -> None:
    async with running_predictor(disk=FakeDisk(kept={BTC: KEPT})) as room:
        await with_models(room, BTC)
        reply = codec.decode(await room.predictor.reply(ASK_BTC), Prediction)
        assert reply == replace(KEPT, cache="disk")
        third = await room.predictor.reply(PredictRequest(symbol=BTC, horizon=3))
        assert codec.decode(third, Prediction).predictions == FORECASTS[1:]


async def test_what_is_cleared_is_nowhere_and_is_computed_when_asked_for() -> None:
    async with running_predictor() as room:
        await with_models(room, BTC, ETH)
        cleared = await room.cache.clear(ClearCacheRequest())
        assert cleared.symbols == 2
        assert (room.predictions.told, room.disk.kept) == ([], {})
        answers = [await room.predictor.get(ASK_BTC) for _ in range(2)]
        assert [answer.cache for answer in answers] == ["miss", "memory"]


async def test_what_is_cleared_is_computed_after_a_while_for_those_who_only_listen() -> None:
    async with running_predictor() as room:
        await with_models(room, BTC)
        await room.cache.clear(ClearCacheRequest())
        await asyncio.sleep(10)
        assert room.predictions.told == []
        await asyncio.sleep(30)
        assert [told.symbol for told in room.predictions.told] == [BTC]


async def test_one_symbol_is_cleared_alone() -> None:
    async with running_predictor() as room:
        await with_models(room, BTC, ETH)
        assert (await room.cache.clear(ClearCacheRequest(symbols=(ETH,)))).symbols == 1
        assert (await room.predictor.get(ASK_BTC)).cache == "memory"
        assert (await room.predictor.get(PredictRequest(symbol=ETH))).cache == "miss"
        with pytest.raises(UnknownSymbol):
            await room.cache.clear(ClearCacheRequest(symbols=(Symbol("DOGE"),)))


async def test_a_list_of_no_symbols_does_not_stand_for_all_of_them() -> None:
    async with running_predictor() as room:
        await with_models(room, BTC)
        assert (await room.cache.clear(ClearCacheRequest(symbols=()))).symbols == 0
        assert (await room.predictor.get(ASK_BTC)).cache == "memory"


async def test_what_another_predictor_cleared_is_cleared_here() -> None:
    async with running_predictor() as room:
        await with_models(room, BTC)
        room.predictor.on_forgotten(BTC)
        await asyncio.sleep(0.5)
        assert room.disk.kept == {}
        assert (await room.predictor.get(ASK_BTC)).cache == "miss"


async def test_the_report_says_what_is_where_and_how_it_served() -> None:
    async with running_predictor(disk=FakeDisk(kept={BTC: KEPT})) as room:
        await with_models(room, BTC, ETH)
        for _ in range(3):
            await room.predictor.get(ASK_BTC)
        room.models.refused["v2"] = CandlesRefused("damaged")
        room.predictor.on_model(record("v2", symbol=ETH))
        await room.predictor.get(PredictRequest(symbol=ETH))
        room.disk.problem = Problem(code="disk", message="it is full")
        report = await room.cache.report(CacheRequest())
        body = len(await room.predictor.reply(ASK_BTC))
        assert report.memory_bytes == pytest.approx(2 * body, rel=0.1)
        assert report.oldest_age_s == pytest.approx(900.5, abs=0.1)
        assert report == CacheReport(
            instance="predictor-1",
            enabled=True,
            ttl_hours=1.0,
            in_memory=2,
            memory_bytes=report.memory_bytes,
            on_disk=2,
            disk_bytes=4096,
            hits_memory=2,
            hits_disk=1,
            misses=1,
            stale=1,
            failures=1,
            hit_rate=0.75,
            oldest_age_s=report.oldest_age_s,
            problem=room.disk.problem,
        )
        assert room.cache.problems() == (room.disk.problem,)


async def test_before_anyone_has_asked_there_is_no_rate() -> None:
    async with running_predictor() as room:
        report = await room.cache.report(CacheRequest())
        assert (report.hit_rate, report.oldest_age_s, report.in_memory) == (None, None, 0)


async def test_the_figures_are_those_of_the_report() -> None:
    async with running_predictor() as room:
        await with_models(room, BTC)
        await room.predictor.get(ASK_BTC)
        figures = room.cache.figures()
        assert {name: value for name, value in figures.items() if value} == {
            "hits": 1.0,
            "predictions_cached": 1.0,
            "cached_bytes": float(len(await room.predictor.reply(ASK_BTC))),
            "oldest_age_s": pytest.approx(0.5, abs=0.1),
        }
