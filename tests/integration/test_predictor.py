"""The predictor as its own process, on a real nats-server."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import nats.errors
import pytest

from services.predictor.adapters.predictions import KvPredictions
from shared.bus import rpc
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.objects import Artifacts
from shared.bus.publisher import Publisher
from shared.bus.survey import survey
from shared.contracts import codec, subjects
from shared.contracts.errors import AppError, NotReady, Unavailable, UnknownHorizon, UnknownSymbol
from shared.contracts.events import PredictionUpdated
from shared.contracts.records import (
    CacheReport,
    Cleared,
    ModelRecord,
    Prediction,
    Pregenerated,
    Ranked,
)
from shared.contracts.reports import ServiceReport
from shared.contracts.requests import (
    CacheRequest,
    ClearCacheRequest,
    PredictRequest,
    PregenerateRequest,
    TopRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle, unpack
from shared.market.store import CandleStore
from shared.model.artifact import Model, decode, encode
from shared.model.forecast import forecast
from shared.model.history import WARMUP
from shared.runtime.clock import from_ms
from shared.runtime.tasks import alongside
from tests.support.markets import random_walk
from tests.support.models import made_up_model
from tests.support.predicting import (
    BTC,
    ETH,
    START,
    TTL,
    candles_updated,
    prediction,
    record,
    universe,
)
from tests.support.servers import NatsServer

M15 = Timeframe.M15
MARKET = random_walk(WARMUP + 50, timeframe=M15)
CANDLES = unpack(MARKET.tobytes())
FIRST = WARMUP + 40
SYMBOLS = (BTC, ETH, Symbol("SOL/USDT"), Symbol("THYAO.IS"), Symbol("BRK-B"))
T = TypeVar("T")


def model_of(symbol: Symbol, seed: int) -> Model:
    model = made_up_model(seed=seed)
    return replace(model, card=replace(model.card, symbol=symbol))


class World:
    """Everyone else: the scheduler with its candles, a trainer with its models, an asker."""

    def __init__(self, connection: Connection, publisher: Publisher, data_dir: Path) -> None:
        self.connection = connection
        self.data_dir = data_dir
        self.predictions = Bucket(connection, subjects.PREDICTIONS)
        self.artifacts = Artifacts(connection)
        self.publisher = publisher
        self._models = Bucket(connection, subjects.MODELS)
        self._config = Bucket(connection, subjects.CONFIG)
        self._store = CandleStore(Bucket(connection, subjects.CANDLES))

    async def covers(self, *symbols: Symbol) -> None:
        await self._config.put(subjects.UNIVERSE, codec.encode(universe(*symbols)))

    async def promotes(self, version: str, symbol: Symbol = BTC, *, seed: int = 1) -> ModelRecord:
        sha256 = await self.artifacts.put(encode(model_of(symbol, seed)))
        return await self.registers(record(version, symbol=symbol, sha256=sha256))

    async def registers(self, model: ModelRecord) -> ModelRecord:
        await self._models.put(model.symbol.token, codec.encode(model))
        return model

    async def stores(self, candles: list[Candle], symbol: Symbol = BTC) -> None:
        await self._store.append(symbol, M15, candles)

    async def says(self, candle: Candle, symbol: Symbol = BTC) -> None:
        await self.publisher.emit(candles_updated(from_ms(candle.at_ms), symbol=symbol))

    async def begins(self, *symbols: Symbol) -> None:
        """A universe with candles and a first model of each symbol."""
        await self.covers(*symbols)
        for seed, symbol in enumerate(symbols):
            await self.stores(CANDLES[:FIRST], symbol)
            await self.promotes("v1", symbol, seed=seed)

    async def ask(self, symbol: Symbol = BTC, horizon: int | None = None) -> Prediction:
        question = PredictRequest(symbol=symbol, horizon=horizon)
        return await rpc.ask(self.connection, "evertrain.predictor.get", question, Prediction)

    async def asks_for_top(self, asked: TopRequest) -> list[Ranked]:
        return await rpc.ask(self.connection, "evertrain.predictor.top", asked, list[Ranked])

    async def pregenerates(self, ttl_hours: float = 24.0) -> Pregenerated:
        asked = PregenerateRequest(ttl_hours=ttl_hours)
        subject = "evertrain.predictor.pregenerate"
        return await rpc.ask(self.connection, subject, asked, Pregenerated, timeout=30)

    async def cache(self) -> CacheReport:
        asked = CacheRequest()
        return await rpc.ask(self.connection, "evertrain.predictor.cache", asked, CacheReport)

    async def clears(self, *symbols: Symbol) -> Cleared:
        asked = ClearCacheRequest(symbols=symbols or None)
        return await rpc.ask(self.connection, "evertrain.predictor.clear", asked, Cleared)

    async def told(self) -> list[Prediction]:
        entries = await self.predictions.entries()
        return [codec.decode(entry.value, Prediction) for entry in entries]

    async def reports(self) -> list[ServiceReport]:
        return await survey(self.connection, within=0.3)

    async def updates(self) -> list[PredictionUpdated]:
        """Every event of a newer prediction so far."""
        found: list[PredictionUpdated] = []
        subscription = await self.connection.js.subscribe(
            "evertrain.event.prediction.updated.*", ordered_consumer=True
        )
        try:
            while True:
                message = await subscription.next_msg(timeout=0.3)
                found.append(codec.decode(message.data, PredictionUpdated))
        except nats.errors.TimeoutError:
            return found
        finally:
            await subscription.unsubscribe()


async def eventually(
    ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], *, within: float = 10.0
) -> T:
    """What was answered when it held. Errors of the system count as not yet."""
    last: object = None
    try:
        async with asyncio.timeout(within):
            while True:
                try:
                    last = answer = await ask()
                    if holds(answer):
                        return answer
                except AppError as exc:
                    last = exc
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"it never came to hold; last: {last!r}") from None


@pytest.fixture
def world(connection: Connection, publisher: Publisher, tmp_path: Path) -> World:
    return World(connection, publisher, tmp_path / "predictor")


@asynccontextmanager
async def killed_predictor(
    world: World, nats_url: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """One that the body kills."""
    with suppress(AssertionError):
        async with predictor(world, nats_url) as process:
            yield process


@asynccontextmanager
async def predictor(
    world: World, nats_url: str, **settings: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process, ready when the body begins; after a body without errors it ends with 0."""
    there = {report.pid for report in await world.reports()}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.predictor"),
        env=os.environ | {"NATS_URL": nats_url, "DATA_DIR": str(world.data_dir)} | settings,
    )
    try:
        await eventually(
            world.reports, lambda all: any(r.ready and r.pid not in there for r in all)
        )
        yield process
        assert process.returncode is None, "it died"
        process.terminate()
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_promoted_model_is_predicted_with_and_told_to_everyone(
    world: World, nats_url: str
) -> None:
    await world.begins(BTC)
    async with predictor(world, nats_url):
        answer = await eventually(world.ask, lambda p: p.cache == "memory")
        assert (answer.model_version, answer.stale) == ("v1", False)
        assert answer.candle_at == from_ms(CANDLES[FIRST - 1].at_ms)
        assert answer.predictions == forecast(decode(encode(model_of(BTC, 0))), MARKET[:FIRST])
        entry = await eventually(lambda: world.predictions.get(BTC.token), bool)
        assert entry is not None
        assert codec.decode(entry.value, Prediction) == answer
        assert [(e.symbol, e.model_version) for e in await world.updates()] == [(BTC, "v1")]


async def test_a_new_model_and_a_new_candle_replace_the_answer(world: World, nats_url: str) -> None:
    await world.begins(BTC)
    async with predictor(world, nats_url):
        await world.promotes("v2", seed=2)
        await eventually(world.ask, lambda p: p.model_version == "v2" and not p.stale)
        await world.stores(CANDLES[FIRST : FIRST + 1])
        await world.says(CANDLES[FIRST])
        newest = from_ms(CANDLES[FIRST].at_ms)
        await eventually(world.ask, lambda p: p.candle_at == newest and not p.stale)
        await eventually(world.updates, lambda all: len(all) == 3)


async def test_questions_that_cannot_be_answered_say_why(world: World, nats_url: str) -> None:
    await world.begins(BTC)
    await world.covers(BTC, ETH)
    async with predictor(world, nats_url):
        with pytest.raises(UnknownSymbol, match="SOL/USDT is not in the universe"):
            await world.ask(Symbol("SOL/USDT"))
        with pytest.raises(UnknownHorizon, match="there are 1, 3"):
            await world.ask(BTC, horizon=2)
        with pytest.raises(NotReady, match="no model of ETH/USDT yet"):
            await world.ask(ETH)
        for question, code in (
            (b"{", "malformed_message"),
            (b'{"symbol":"a b"}', "invalid_symbol"),
        ):
            reply = await world.connection.client.request("evertrain.predictor.get", question)
            assert codec.decode(reply.data, dict[str, str])["code"] == code
        assert [p.horizon for p in (await world.ask(BTC, horizon=3)).predictions] == [3]


async def test_top_ranks_the_universe_of_now(world: World, nats_url: str) -> None:
    await world.begins(*SYMBOLS)
    async with predictor(world, nats_url):
        asked = TopRequest(sort="expected_return", horizon=1)
        lines = await eventually(lambda: world.asks_for_top(asked), lambda all: len(all) == 5)
        returns = [line.forecast.expected_return_pct for line in lines]
        assert returns == sorted(returns, reverse=True)
        await world.covers(*SYMBOLS[:2])
        await eventually(
            lambda: world.asks_for_top(asked),
            lambda all: {line.symbol for line in all} == set(SYMBOLS[:2]),
        )


async def _missing(world: World) -> str:
    return "0" * 64


async def _other_format(world: World) -> str:
    return await world.artifacts.put(b"not a model at all")


async def _truncated(world: World) -> str:
    return await world.artifacts.put(encode(model_of(BTC, 3))[:-8])


async def _of_another_symbol(world: World) -> str:
    return await world.artifacts.put(encode(model_of(ETH, 3)))


async def _changed_in_the_store(world: World) -> str:
    sha256 = await world.artifacts.put(encode(model_of(BTC, 3)))
    js = world.connection.js
    info = await js.stream_info(f"OBJ_{subjects.ARTIFACTS}", subjects_filter="$O.*.C.>")
    chunks = list(info.state.subjects or {})
    for subject in chunks:
        await js.purge_stream(f"OBJ_{subjects.ARTIFACTS}", subject=subject)
        await js.publish(subject, os.urandom(64 << 10))
    return sha256


@pytest.mark.parametrize(
    "damage", [_missing, _other_format, _truncated, _of_another_symbol, _changed_in_the_store]
)
async def test_a_model_that_cannot_be_trusted_is_refused_and_the_last_good_one_answers(
    world: World, nats_url: str, damage: Callable[[World], Awaitable[str]]
) -> None:
    await world.begins(BTC)
    async with predictor(world, nats_url):
        good = await eventually(world.ask, lambda p: p.cache == "memory")
        await world.registers(record("v2", sha256=await damage(world)))
        answer = await eventually(world.ask, lambda p: p.stale and ":" in (p.stale_reason or ""))
        assert answer.model_version == "v1"
        assert answer.predictions == good.predictions
        (report,) = await world.reports()
        assert report.problems[0].code in ("artifact_refused", "not_found")
        assert report.problems[0].message.startswith("BTC/USDT: ")
        await eventually(lambda: stored(world), lambda p: p is not None and p.stale)
        await world.promotes("v3", seed=4)
        await eventually(world.ask, lambda p: p.model_version == "v3" and not p.stale)
        assert (await world.reports())[0].problems == ()


async def stored(world: World, symbol: Symbol = BTC) -> Prediction | None:
    entry = await world.predictions.get(symbol.token)
    return codec.decode(entry.value, Prediction) if entry else None


def damage_files_in(folder: Path) -> None:
    for file in folder.iterdir():
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)


async def test_a_damaged_file_on_disk_is_fetched_again_after_a_restart(
    world: World, nats_url: str
) -> None:
    await world.begins(BTC)
    async with predictor(world, nats_url):
        before = await eventually(world.ask, lambda p: p.cache == "memory")
    damage_files_in(world.data_dir / "artifacts")
    async with predictor(world, nats_url):
        after = await eventually(world.ask, lambda p: not p.stale)
        assert after.predictions == before.predictions


async def test_a_restart_with_a_refused_model_still_answers_what_it_told_before(
    world: World, nats_url: str
) -> None:
    await world.begins(BTC)
    async with predictor(world, nats_url):
        await eventually(lambda: stored(world), lambda p: p is not None)
    await world.registers(record("v2", sha256=await _other_format(world)))
    async with predictor(world, nats_url):
        answer = await world.ask()
        assert (answer.model_version, answer.stale) == ("v1", True)


async def test_a_restart_answers_from_disk_what_is_still_the_newest(
    world: World, nats_url: str
) -> None:
    await world.begins(BTC)
    async with predictor(world, nats_url):
        before = await eventually(world.ask, lambda p: p.cache == "memory")
    async with predictor(world, nats_url):
        answers = [await world.ask() for _ in range(2)]
        assert answers == [replace(before, cache="disk"), before]
        report = await world.cache()
        assert (report.hits_disk, report.hits_memory, report.misses) == (1, 1, 0)
        (predictors,) = await world.reports()
        assert predictors.figures is not None
        assert predictors.figures["models_loaded"] == 0
    await world.stores(CANDLES[FIRST : FIRST + 1])
    async with predictor(world, nats_url):
        answer = await world.ask()
        assert answer.candle_at == from_ms(CANDLES[FIRST].at_ms)
        assert not answer.stale


async def test_a_disk_that_refuses_costs_no_answer(world: World, nats_url: str) -> None:
    await world.begins(BTC)
    file = world.data_dir / "predictor" / "predictions.sqlite"
    await asyncio.to_thread(file.mkdir, parents=True)
    async with predictor(world, nats_url):
        await eventually(world.ask, lambda p: p.cache == "memory")
        (report,) = await world.reports()
        assert [problem.code for problem in report.problems] == ["disk"]
        assert (await world.cache()).problem == report.problems[0]
    assert await asyncio.to_thread(file.is_dir)


async def test_a_predictor_that_is_killed_while_it_pregenerates_goes_on_when_asked_again(
    world: World, nats_url: str
) -> None:
    symbols = [Symbol(f"S{number}/USDT") for number in range(40)]
    await world.begins(*symbols)
    async with killed_predictor(world, nats_url) as process:
        await eventually(world.told, lambda all: len(all) == len(symbols))
        async with alongside(asked_in_vain(world), name="pregenerate"):
            await eventually(world.told, lambda all: any(map(lasting, all)))
            process.kill()
    done = {told.symbol for told in await world.told() if lasting(told)}
    assert 0 < len(done) < len(symbols)
    async with predictor(world, nats_url):
        found = await world.pregenerates()
        assert (found.failed, found.waiting) == (0, 0)
        assert found.kept >= len(done)
        assert found.made + found.kept == len(symbols)
        told = await world.told()
        assert len(told) == len(symbols)
        assert all(map(lasting, told))
        assert len(await world.updates()) == len(symbols)


def lasting(prediction: Prediction) -> bool:
    return prediction.expires_at - prediction.generated_at == timedelta(hours=24)


async def asked_in_vain(world: World) -> None:
    with suppress(Unavailable):
        await world.pregenerates()


async def test_what_one_predictor_makes_to_last_and_forgets_so_do_all(
    world: World, nats_url: str
) -> None:
    await world.begins(*SYMBOLS)
    other = World(world.connection, world.publisher, world.data_dir.with_name("other"))
    async with predictor(world, nats_url), predictor(other, nats_url):
        await eventually(world.told, lambda all: len(all) == len(SYMBOLS))
        found = await world.pregenerates()
        assert (found.made, found.failed) == (len(SYMBOLS), 0)
        for symbol in SYMBOLS:
            for _ in range(10):  # so that both are asked
                await eventually(partial(world.ask, symbol), lasting)
        assert len(await world.updates()) == len(SYMBOLS)
        assert (await world.clears()).symbols == len(SYMBOLS)
        assert await world.told() == []
        await eventually(
            world.reports, lambda all: all_figures(all, "predictions_cached") == [0, 0]
        )


def all_figures(reports: list[ServiceReport], name: str) -> list[float]:
    return [report.figures[name] for report in reports if report.figures is not None]


async def test_records_that_cannot_be_read_are_skipped(world: World, nats_url: str) -> None:
    await world.begins(BTC)
    await Bucket(world.connection, subjects.MODELS).put("not=a=token", b"{}")
    await Bucket(world.connection, subjects.MODELS).put(ETH.token, b"\xff")
    await world.predictions.put(ETH.token, b"[]")
    async with predictor(world, nats_url):
        await world.connection.client.publish("evertrain.event.candles.updated.X", b"nonsense")
        await eventually(world.ask, lambda p: not p.stale)


async def test_two_predictors_tell_each_prediction_once(world: World, nats_url: str) -> None:
    await world.begins(*SYMBOLS)
    async with predictor(world, nats_url), predictor(world, nats_url):
        for candle in CANDLES[FIRST : FIRST + 5]:
            for symbol in SYMBOLS:
                await world.stores([candle], symbol)
                await world.says(candle, symbol)
        newest = from_ms(CANDLES[FIRST + 4].at_ms)
        # What was written is told right behind it, so the last word may still be on its way.
        last = {(symbol, newest) for symbol in SYMBOLS}
        updates = await eventually(world.updates, lambda told: last <= {*map(subject, told)})
        assert len(updates) == len({*map(subject, updates)})


def subject(update: PredictionUpdated) -> tuple[Symbol, datetime]:
    return update.symbol, update.candle_at


@pytest.fixture
def told(world: World, publisher: Publisher) -> KvPredictions:
    models = Bucket(world.connection, subjects.MODELS)
    return KvPredictions(world.predictions, models, publisher, clock=lambda: START)


async def test_a_predictor_that_has_not_heard_of_a_promotion_replaces_nothing(
    world: World, told: KvPredictions
) -> None:
    await world.registers(record("v2"))
    newer = prediction(version="v2")
    await told.publish(newer)
    await told.publish(prediction(version="v1", candle_at=START + TTL))
    assert await stored(world) == newer


async def test_a_rollback_replaces_what_the_newer_model_said(
    world: World, told: KvPredictions
) -> None:
    await world.registers(record("v2"))
    await told.publish(prediction(version="v2"))
    await world.registers(record("v1"))
    await told.publish(prediction(version="v1"))
    assert await stored(world) == prediction(version="v1")


async def test_an_older_candle_replaces_nothing(world: World, told: KvPredictions) -> None:
    newer = prediction(candle_at=START + TTL)
    await told.publish(newer)
    await told.publish(prediction(candle_at=START))
    assert await stored(world) == newer


async def test_of_many_that_say_the_same_at_once_one_is_heard(
    world: World, told: KvPredictions
) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(told.publish(prediction()))
    entry = await world.predictions.get(BTC.token)
    assert entry is not None
    assert entry.revision == 1
    assert len(await world.updates()) == 1


async def test_a_renewal_is_written_but_is_no_news(world: World, told: KvPredictions) -> None:
    await told.publish(prediction(generated_at=START - 0.6 * TTL))
    await told.publish(prediction(generated_at=START))
    assert await stored(world) == prediction(generated_at=START)
    assert len(await world.updates()) == 1


async def test_what_nobody_can_read_is_written_over(world: World, told: KvPredictions) -> None:
    await world.predictions.put(BTC.token, b"[]")
    await told.publish(prediction())
    assert await stored(world) == prediction()


async def test_a_removed_prediction_can_be_told_again(world: World, told: KvPredictions) -> None:
    await told.publish(prediction())
    await world.predictions.delete(BTC.token)
    await told.publish(prediction())
    assert await stored(world) == prediction()


async def test_it_survives_the_server_and_hears_of_the_candle_it_missed(
    world: World, nats_url: str, nats_server: NatsServer
) -> None:
    await world.begins(BTC)
    async with predictor(world, nats_url) as process:
        await eventually(world.ask, lambda p: p.cache == "memory")
        process.send_signal(signal.SIGSTOP)
        await world.stores(CANDLES[FIRST : FIRST + 1])
        await asyncio.to_thread(nats_server.kill)
        process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(nats_server.start)
        newest = from_ms(CANDLES[FIRST].at_ms)
        await eventually(world.ask, lambda p: p.candle_at == newest and not p.stale, within=20)


async def test_it_stays_small(world: World, nats_url: str) -> None:
    await world.begins(*SYMBOLS)
    async with predictor(world, nats_url):
        await eventually(lambda: world.asks_for_top(TopRequest()), lambda all: len(all) == 5)
        for _ in range(200):
            await world.ask(BTC)
        (report,) = await world.reports()
        assert report.memory_mb < 60  # of which 48 are the interpreter, the bus and numpy
        assert report.figures is not None
        assert report.figures["models_loaded"] == 5
        assert report.figures["predictions_cached"] == 5
        assert report.figures["hits"] >= 200


async def test_the_process_imports_no_learning_library() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "import services.predictor.__main__, sys; print(*sys.modules)"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    loaded = {name.partition(".")[0] for name in output.decode().split()}
    assert "numpy" in loaded
    assert not loaded & {"xgboost", "lightgbm", "catboost", "sklearn", "scipy", "pandas", "pyarrow"}
