import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from services.trainer.adapters.registry import FencedModels, KvRegistry
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.kv import Bucket, Entry
from shared.bus.objects import Artifacts
from shared.contracts import codec, subjects
from shared.contracts.errors import Fenced, Unavailable
from shared.contracts.records import ModelRecord, Universe
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.runtime.tasks import alongside
from tests.support.coordination import model_record, symbols

SYMBOL = Symbol("BTC/USDT")
UNIVERSE = Universe(symbols=(SYMBOL,), timeframe=Timeframe.D1, horizons=(1, 3))


def model(token: int, *, epoch: str = "one") -> ModelRecord:
    return replace(
        model_record(SYMBOL, token=token, epoch=epoch, version=f"v{token}"),
        libraries={"numpy": "2"},
    )


@pytest.fixture
def registry(connection: Connection) -> KvRegistry:
    return KvRegistry(connection)


@pytest.fixture
async def other(nats_url: str) -> AsyncIterator[KvRegistry]:
    """The registry as another trainer sees it."""
    async with connected(NatsOptions(servers=(nats_url,)), name="other") as connection:
        yield KvRegistry(connection)


async def live(connection: Connection) -> ModelRecord:
    entry = await Bucket(connection, subjects.MODELS).get(SYMBOL.token)
    assert entry is not None
    return codec.decode(entry.value, ModelRecord)


async def test_a_promotion_gives_back_what_it_replaced(registry: KvRegistry) -> None:
    assert await registry.promote(model(1)) is None
    assert await registry.promote(model(2)) == model(1)


@pytest.mark.parametrize("token", [1, 4, 5])
async def test_an_older_lease_or_the_same_one_does_not_promote_over_a_newer(
    registry: KvRegistry, connection: Connection, token: int
) -> None:
    await registry.promote(model(5))
    with pytest.raises(Fenced):
        await registry.promote(replace(model(token), version="late"))
    assert await live(connection) == model(5)


async def test_a_token_of_another_lock_store_says_nothing(registry: KvRegistry) -> None:
    await registry.promote(model(500))
    assert await registry.promote(model(1, epoch="two")) == model(500)


class Race:
    """Promotions beside each other, each tried until it is done or fenced."""

    def __init__(self, connection: Connection) -> None:
        #: The token of each promotion that was acknowledged, and that of the model it replaced.
        self.replaced: dict[int, int | None] = {}
        #: The tokens in the order in which they really went live.
        self.written: list[int] = []
        self._bucket = Bucket(connection, subjects.MODELS)

    async def run(self, tokens: list[int], *trainers: KvRegistry) -> None:
        async with alongside(self._watch(), name="watch"):
            await asyncio.sleep(0.1)
            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                for number, token in enumerate(tokens):
                    trainer = trainers[number % len(trainers)]
                    group.create_task(self._promote(trainer, token))
            await asyncio.sleep(0.1)

    async def _promote(self, trainer: KvRegistry, token: int) -> None:
        while token not in self.replaced:
            try:
                before = await trainer.promote(model(token))
            except Unavailable:
                continue  # as a job that is delivered again would
            except Fenced:
                return
            self.replaced[token] = before.token if before else None

    async def _watch(self) -> None:
        async with aclosing(self._bucket.watch()) as changes:
            async for change in changes:
                if isinstance(change, Entry):
                    self.written += [codec.decode(change.value, ModelRecord).token]


async def test_promotions_that_race_leave_the_newest_and_lose_none(
    registry: KvRegistry, other: KvRegistry, connection: Connection
) -> None:
    tokens = list(range(1, 25))
    random.Random(7).shuffle(tokens)
    race = Race(connection)
    await race.run(tokens, registry, other)
    assert race.written == sorted(race.replaced)
    assert race.written[-1] == max(tokens)
    assert [race.replaced[token] for token in race.written] == [None, *race.written[:-1]]


class Forgetful(Bucket):
    """The answer to its first write never comes, though the write has happened."""

    forgotten = False

    async def update(self, key: str, value: bytes, last: int, *, ttl: float | None = None) -> int:
        revision = await super().update(key, value, last, ttl=ttl)
        if not self.forgotten:
            self.forgotten = True
            raise Unavailable("the answer was lost")
        return revision


async def test_a_promotion_whose_answer_was_lost_is_found_again(
    registry: KvRegistry, connection: Connection
) -> None:
    await registry.promote(model(1))
    forgetful = FencedModels(Forgetful(connection, subjects.MODELS))
    assert await forgetful.promote(model(2)) == model(1)
    assert await live(connection) == model(2)


async def test_a_check_tells_what_is_missing_from_what_is_unsound_and_why(
    registry: KvRegistry, connection: Connection
) -> None:
    sound, absent, unknown, hourly, short = symbols(5)
    name = await registry.store(b"model")
    for record in (
        replace(model_record(sound), sha256=name),
        replace(model_record(absent), sha256="f" * 64),
        replace(model_record(hourly), sha256=name, timeframe=Timeframe.H1),
        replace(model_record(short), sha256=name, horizons=(1,)),
    ):
        await registry.promote(record)
    check = await registry.check((sound, absent, unknown, hourly, short), UNIVERSE)
    assert (check.sound, check.missing) == (1, (unknown,))
    assert {one.symbol: one.reason.code for one in check.unsound} == {
        absent: "not_found",
        hourly: "other_timeframe",
        short: "missing_horizons",
    }
    assert await Artifacts(connection).get(name) == b"model"
