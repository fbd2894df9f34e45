import asyncio
import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.predictor.adapters.models import ModelCache
from shared.contracts.errors import ArtifactRefused, CandlesRefused, NotEnoughHistory
from shared.contracts.records import ModelRecord
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.model import forecast as engine
from shared.model.artifact import decode, encode
from shared.model.history import WARMUP
from shared.model.opening import opened
from shared.model.reach import atr_pct
from tests.support.markets import random_walk, split_at
from tests.support.models import made_up_model
from tests.support.predicting import record

ARTIFACT = encode(made_up_model())
ROWS = random_walk(WARMUP + 1, timeframe=Timeframe.M15)


class FakeArtifacts:
    def __init__(self) -> None:
        self.artifacts: dict[str, bytes] = {}
        self.fetched: list[str] = []

    def add(self, data: bytes, version: str = "v1") -> ModelRecord:
        sha256 = hashlib.sha256(data).hexdigest()
        self.artifacts[sha256] = data
        return record(version, sha256=sha256)

    async def get(self, sha256: str) -> bytes:
        self.fetched.append(sha256)
        return self.artifacts[sha256]


@pytest.fixture
def artifacts() -> FakeArtifacts:
    return FakeArtifacts()


async def test_a_loaded_model_forecasts_what_the_engine_does(artifacts: FakeArtifacts) -> None:
    model = await ModelCache(artifacts).load(artifacts.add(ARTIFACT))
    reading = await model.read(ROWS.tobytes())
    assert reading.forecasts == engine.forecast(decode(ARTIFACT), ROWS)


async def test_it_says_what_the_forecasts_are_relative_to(artifacts: FakeArtifacts) -> None:
    model = await ModelCache(artifacts).load(artifacts.add(ARTIFACT))
    reading = await model.read(ROWS.tobytes())
    assert reading.close == ROWS["close"][-1]
    assert reading.atr_pct == atr_pct(ROWS)[-1]


async def test_a_split_among_the_candles_is_no_range(artifacts: FakeArtifacts) -> None:
    model = await ModelCache(artifacts).load(artifacts.add(ARTIFACT))
    plain = await model.read(ROWS.tobytes())
    split = await model.read(split_at(ROWS, WARMUP - 5, 2.0).tobytes())
    assert split.atr_pct == pytest.approx(plain.atr_pct)


async def test_a_model_is_decoded_once(artifacts: FakeArtifacts) -> None:
    cache, live = ModelCache(artifacts), artifacts.add(ARTIFACT)
    assert await cache.load(live) is await cache.load(live)
    assert (len(artifacts.fetched), cache.loaded) == (1, 1)


async def test_what_was_used_least_lately_makes_room(artifacts: FakeArtifacts) -> None:
    data = [encode(made_up_model(seed=seed)) for seed in range(3)]
    first, second, third = (artifacts.add(each) for each in data)
    cache = ModelCache(artifacts, most_bytes=sum(map(len, data)) - 1)
    for each in (first, second, first, third, first):
        await cache.load(each)
    assert cache.loaded == 2
    assert artifacts.fetched == [first.sha256, second.sha256, third.sha256]


async def test_a_model_larger_than_the_memory_is_still_loaded(artifacts: FakeArtifacts) -> None:
    cache = ModelCache(artifacts, most_bytes=1)
    await cache.load(artifacts.add(ARTIFACT))
    assert cache.loaded == 1


@pytest.mark.parametrize(
    "foreign",
    [
        replace(record(), symbol=Symbol("ETH/USDT")),
        record(timeframe=Timeframe.H1),
        record(horizons=(1, 7)),
    ],
    ids=["symbol", "timeframe", "horizons"],
)
async def test_the_model_of_something_else_is_refused(
    artifacts: FakeArtifacts, foreign: ModelRecord
) -> None:
    promoted = replace(foreign, sha256=artifacts.add(ARTIFACT).sha256)
    with pytest.raises(ArtifactRefused, match="is of BTC/USDT 15m, horizons 1, 3"):
        await ModelCache(artifacts).load(promoted)


async def test_a_model_of_other_features_is_refused(artifacts: FakeArtifacts) -> None:
    live = artifacts.add(encode(made_up_model(spec="of another version")))
    with pytest.raises(ArtifactRefused, match="train it anew"):
        await ModelCache(artifacts).load(live)


@given(cut=st.integers(0, len(ARTIFACT) - 1))
def test_no_truncated_artifact_is_accepted(cut: int) -> None:
    with pytest.raises(ArtifactRefused):
        opened(ARTIFACT[:cut], record())


@given(noise=st.binary(max_size=200))
def test_no_foreign_bytes_are_accepted(noise: bytes) -> None:
    for data in (noise, ARTIFACT[: len(noise)] + noise):
        with pytest.raises(ArtifactRefused):
            opened(data, record())


async def test_too_few_candles_are_not_enough(artifacts: FakeArtifacts) -> None:
    model = await ModelCache(artifacts).load(artifacts.add(ARTIFACT))
    for rows in (0, 1, WARMUP):
        with pytest.raises(NotEnoughHistory):
            await model.read(ROWS[:rows].tobytes())


async def test_candles_out_of_order_are_refused(artifacts: FakeArtifacts) -> None:
    model = await ModelCache(artifacts).load(artifacts.add(ARTIFACT))
    with pytest.raises(CandlesRefused):
        await model.read(ROWS[::-1].tobytes())


async def test_two_symbols_are_computed_beside_each_other(artifacts: FakeArtifacts) -> None:
    model = await ModelCache(artifacts).load(artifacts.add(ARTIFACT))
    async with asyncio.TaskGroup() as group:
        both = [group.create_task(model.read(ROWS.tobytes())) for _ in range(8)]
    assert len({task.result().forecasts[0].p_up for task in both}) == 1
