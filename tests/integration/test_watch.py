from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.watch import follow
from shared.contracts import codec, subjects
from shared.contracts.records import ModelRecord
from shared.contracts.symbols import Symbol
from shared.runtime.tasks import alongside
from tests.support.coordination import model_record
from tests.support.system import eventually

ONE, TWO = Symbol("BTC/USDT"), Symbol("ETH/USDT")


@dataclass
class Notes:
    """What was heard, in order."""

    heard: list[str] = field(default_factory=list)

    def put(self, model: ModelRecord) -> None:
        self.heard.append(f"{model.symbol} {model.version}")

    def gone(self, key: str) -> None:
        self.heard.append(f"no {Symbol.from_token(key)}")

    def caught_up(self) -> None:
        self.heard.append("caught up")


@pytest.fixture
def models(connection: Connection) -> Bucket:
    return Bucket(connection, subjects.MODELS)


@pytest.fixture
async def notes(models: Bucket) -> AsyncIterator[Notes]:
    notes = Notes()
    await models.put(ONE.token, codec.encode(model_record(ONE, version="v1")))
    following = follow(
        models, ModelRecord, put=notes.put, gone=notes.gone, caught_up=notes.caught_up
    )
    async with alongside(following, name="follow"):
        yield notes


async def _hears(notes: Notes, *heard: str) -> None:
    async def heard_all() -> bool:
        return notes.heard == list(heard)

    await eventually(heard_all, within=5)


async def test_what_was_there_comes_first_and_then_every_change(
    models: Bucket, notes: Notes
) -> None:
    await _hears(notes, "BTC/USDT v1", "caught up")
    await models.put(TWO.token, codec.encode(model_record(TWO, version="v2")))
    await models.delete(ONE.token)
    await _hears(notes, "BTC/USDT v1", "caught up", "ETH/USDT v2", "no BTC/USDT")


async def test_what_cannot_be_read_keeps_nothing_else_from_being_heard(
    models: Bucket, notes: Notes
) -> None:
    await models.put(TWO.token, b"no model")
    await models.put("no=symbol", codec.encode(model_record(TWO, version="v2")))
    await models.delete("no=symbol")
    await models.put(ONE.token, codec.encode(model_record(ONE, version="v3")))
    await _hears(notes, "BTC/USDT v1", "caught up", "ETH/USDT v2", "BTC/USDT v3")
