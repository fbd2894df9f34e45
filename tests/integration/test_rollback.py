"""Rollback and clean-up as the trainer answers them, on a real server."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from services.trainer.adapters.inspector import ArtifactInspector
from services.trainer.adapters.outlet import BusOutlet
from services.trainer.adapters.registry import KvRegistry
from services.trainer.cleanup import Cleanup
from services.trainer.domain.retention import Retention
from services.trainer.rollback import Rollbacks
from shared.bus import stored
from shared.bus.connection import Connection
from shared.bus.locks import JetStreamLeases, SymbolLocks
from shared.bus.objects import Artifacts
from shared.bus.publisher import Publisher
from shared.bus.rpc import Endpoint, ask, serve
from shared.contracts import codec, subjects
from shared.contracts.errors import ArtifactRefused, LeaseTaken, NoEarlierModel, UnknownVersion
from shared.contracts.events import Event, ModelRolledBack
from shared.contracts.records import CleanupReport, ModelRecord, SymbolHolder
from shared.contracts.requests import CleanupRequest, RollbackRequest
from shared.contracts.subjects import symbol_lock
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.model.artifact import encode
from shared.model.features import SPEC
from shared.runtime.clock import utc_now
from shared.runtime.lease import LeasePolicy, hold
from shared.runtime.tasks import alongside
from shared.runtime.version import VERSION
from tests.support.coordination import BEGIN, model_record
from tests.support.models import made_up_model

SYMBOL = Symbol("BTC/USDT")
RETENTION = Retention(models_per_symbol=2, days=30)


class Trainer:
    """What a trainer answers, and a symbol whose models are promoted day by day."""

    def __init__(self, connection: Connection, leases: JetStreamLeases) -> None:
        self.registry = KvRegistry(connection)
        self.leases = leases
        self.days_later = 0
        self._connection = connection
        rollbacks = Rollbacks(
            name="trainer-a",
            registry=self.registry,
            inspector=ArtifactInspector(),
            locks=SymbolLocks(connection),
            outlet=BusOutlet(connection, Publisher(connection)),
            leases=leases,
            policy=LeasePolicy(),
            clock=utc_now,
        )
        cleanup = Cleanup(
            artifacts=Artifacts(connection),
            registry=self.registry,
            retention=RETENTION,
            clock=lambda: utc_now() + timedelta(days=self.days_later),
        )
        self.endpoints = (
            Endpoint(name="rollback", request=RollbackRequest, handler=rollbacks.roll_back),
            Endpoint(name="cleanup", request=CleanupRequest, handler=cleanup.clean_up),
        )

    async def train(self, day: int, *, spec: str = SPEC) -> ModelRecord:
        data = encode(made_up_model(seed=day, spec=spec))
        async with hold(self.leases, symbol_lock(SYMBOL), _mark, policy=LeasePolicy()) as lease:
            record = replace(
                model_record(SYMBOL, token=lease.token, epoch=lease.epoch, version=f"v{day}"),
                created_at=BEGIN + timedelta(days=day),
                timeframe=Timeframe.M15,
                sha256=await self.registry.store(data),
                native_sha256=await self.registry.store(b"native %d" % day),
                size=len(data),
            )
            await self.registry.promote(record)
        return record

    async def roll_back(self, version: str | None = None, request_id: str = "r") -> ModelRecord:
        request = RollbackRequest(symbol=SYMBOL, version=version, request_id=request_id)
        return await ask(self._connection, "evertrain.trainer.rollback", request, ModelRecord)

    async def clean_up(self, *, dry_run: bool = False) -> CleanupReport:
        request = CleanupRequest(dry_run=dry_run)
        return await ask(self._connection, "evertrain.trainer.cleanup", request, CleanupReport)

    async def live(self) -> ModelRecord | None:
        return await self.registry.live_model(SYMBOL)


def _mark(token: int) -> bytes:
    job = SymbolHolder(run_id="full-7", holder="trainer-b", started_at=BEGIN, token=token)
    return codec.encode(job)


@pytest.fixture
async def trainer(connection: Connection) -> AsyncIterator[Trainer]:
    trainer = Trainer(connection, await JetStreamLeases.open(connection))
    serving = serve(connection, "trainer", VERSION, trainer.endpoints, asyncio.Event())
    async with alongside(serving, name="trainer"):
        await asyncio.sleep(0.05)
        yield trainer


async def told(connection: Connection) -> Event:
    subject = "evertrain.event.model.rolled_back.BTC_USDT"
    message = await stored.newest(connection, subjects.EVENTS, subject)
    assert message is not None
    return codec.decode_event(message.data)


async def test_an_earlier_model_lives_again_with_a_newer_token(
    trainer: Trainer, connection: Connection
) -> None:
    first, second = await trainer.train(1), await trainer.train(2)
    model = await trainer.roll_back()
    assert model.token > second.token
    assert replace(model, token=first.token, rolled_back=None) == first
    assert await trainer.live() == model
    event = await told(connection)
    assert isinstance(event, ModelRolledBack)
    assert (event.model_version, event.previous_version) == ("v1", "v2")


async def test_a_late_repeat_leaves_alone_what_was_trained_since(trainer: Trainer) -> None:
    for day in (1, 2):
        await trainer.train(day)
    before = await trainer.roll_back()
    newest = await trainer.train(3)
    assert await trainer.roll_back() == before
    assert await trainer.live() == newest


async def test_it_goes_back_as_far_as_the_history_reaches(trainer: Trainer) -> None:
    for day in range(1, 6):
        await trainer.train(day)
    gone_back_to = [(await trainer.roll_back(request_id=f"r{n}")).version for n in range(4)]
    assert gone_back_to == ["v4", "v3", "v2", "v1"]
    with pytest.raises(NoEarlierModel):
        await trainer.roll_back(request_id="r9")


async def test_its_refusals_cross_the_bus(trainer: Trainer, connection: Connection) -> None:
    await trainer.train(1, spec="features of another version")
    await trainer.train(2)
    with pytest.raises(ArtifactRefused, match="reads other features"):
        await trainer.roll_back()
    with pytest.raises(UnknownVersion, match="there are: v1"):
        await trainer.roll_back("v9")
    await connection.js.delete_object_store(subjects.ARTIFACTS)
    await connection.js.create_object_store(subjects.ARTIFACTS)
    with pytest.raises(ArtifactRefused, match="gone or damaged"):
        await trainer.roll_back()


async def test_a_symbol_in_training_is_refused_with_who_trains_it(trainer: Trainer) -> None:
    await trainer.train(1)
    live = await trainer.train(2)
    async with hold(trainer.leases, symbol_lock(SYMBOL), _mark, policy=LeasePolicy()):
        with pytest.raises(LeaseTaken, match="full-7 on trainer-b"):
            await trainer.roll_back()
    assert await trainer.live() == live


async def test_a_clean_up_leaves_the_newest_models_and_the_live_one(trainer: Trainer) -> None:
    for day in range(1, 6):
        await trainer.train(day)
    await trainer.registry.store(b"a model that was refused")
    await trainer.roll_back("v2")
    assert (await trainer.clean_up()).deleted == 0  # they are young
    trainer.days_later = 31
    rehearsal = await trainer.clean_up(dry_run=True)
    report = await trainer.clean_up()
    assert report == replace(rehearsal, dry_run=False)
    assert (report.kept, report.deleted) == (6, 5)  # v2, v4, v5 and what their updates start from
    assert (await trainer.clean_up()).deleted == 0
    assert [(await trainer.roll_back(version, version)).version for version in ("v4", "v5")] == [
        "v4",
        "v5",
    ]
    with pytest.raises(ArtifactRefused):
        await trainer.roll_back("v3", "gone")


async def test_a_clean_up_beside_rollbacks_takes_nothing_that_lives(trainer: Trainer) -> None:
    for day in range(1, 7):
        await trainer.train(day)
    trainer.days_later = 31

    async def clean_up_again_and_again() -> None:
        while True:
            await trainer.clean_up()

    async with alongside(clean_up_again_and_again(), name="clean-up"):
        for version in ("v5", "v6", "v1", "v2"):
            try:
                model = await trainer.roll_back(version, version)
            except ArtifactRefused:
                continue  # the clean-up was first
            assert await trainer.registry.fetch(model.sha256)
