"""Full trainings and updates by a worker with real training children; the rest is in memory."""

import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.trainer.adapters.parameters import FencedParameters
from services.trainer.adapters.pool import TrainingPool
from services.trainer.job import Worker
from shared.contracts import codec
from shared.contracts.records import JobRecord, ModelRecord
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Status, Timeframe
from shared.model.artifact import decode
from shared.model.candles import Candles
from shared.runtime.clock import utc_now
from shared.runtime.lease import LeasePolicy
from tests.support.buckets import MemoryBucket
from tests.support.coordination import (
    MemoryRegistry,
    MemoryRunBook,
    RecordingOutlet,
    Story,
    job_order,
    job_record,
    run_record,
)
from tests.support.markets import planted_signal
from tests.support.stores import MemoryLeaseStore

SYMBOL = Symbol("BTC/USDT")
MARKET = planted_signal(640, strength=0.5)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="isolation is the kernel's")


class Market:
    """Shows the first `rows` candles."""

    rows = 600
    candles: Candles = MARKET

    async def tail(self, symbol: Symbol, timeframe: Timeframe, rows: int) -> bytes:
        return self.candles[: self.rows][-rows:].tobytes()


class Workshop:
    def __init__(self, pool: TrainingPool) -> None:
        leases = MemoryLeaseStore()
        self.market = Market()
        self.registry = MemoryRegistry()
        self.parameters = FencedParameters(MemoryBucket())
        self.book = MemoryRunBook(leases, Story())
        self.book.runs["full-1"] = replace(run_record(), status=Status.RUNNING)
        self.worker = Worker(
            name="trainer-a",
            deadline_s=120,
            book=self.book,
            candles=self.market,
            pool=pool,
            registry=self.registry,
            parameters=self.parameters,
            peers=self.registry,
            outlet=RecordingOutlet(Story()),
            leases=leases,
            policy=LeasePolicy(),
            clock=utc_now,
        )

    async def train(self, mode: Mode) -> JobRecord:
        self.book.note(replace(job_record(SYMBOL), mode=mode))
        order = job_order(SYMBOL)
        plan = replace(order.plan, days_back=480, rounds=20)
        await self.worker.on_order(codec.encode(replace(order, mode=mode, plan=plan)), 1)
        return self.book.records["full-1", SYMBOL]

    @property
    def live(self) -> ModelRecord:
        return self.registry.live[SYMBOL]


@pytest.fixture
async def shop() -> AsyncIterator[Workshop]:
    async with TrainingPool(1, memory_mb=1024) as pool:
        yield Workshop(pool)


async def test_updates_descend_from_the_full_model_until_that_is_lost(shop: Workshop) -> None:
    assert (await shop.train(Mode.FULL)).error is None
    full = shop.live
    assert (full.mode, full.base_version, full.updates) == (Mode.FULL, None, 0)

    for number in (1, 2):
        shop.market.rows += 20
        job = await shop.train(Mode.INCREMENTAL)
        assert (job.status, job.mode, job.note) == (Status.SUCCEEDED, Mode.INCREMENTAL, None)
        live = shop.live
        assert (live.mode, live.base_version) == (Mode.INCREMENTAL, full.version)
        assert (live.updates, live.native_sha256) == (number, full.native_sha256)
        trees = [
            decode(shop.registry.artifacts[model.sha256]).forest.trees.sum()
            for model in (full, live)
        ]
        assert trees[1] == trees[0] + 5 * number * len(full.horizons)

    assert full.native_sha256 is not None
    shop.registry.artifacts[full.native_sha256] = b"lost"
    job = await shop.train(Mode.INCREMENTAL)
    assert (job.status, job.mode) == (Status.SUCCEEDED, Mode.FULL)
    assert job.note == "trained in full: not a base"


@pytest.mark.parametrize(
    ("trouble", "code"),
    [("listed last week", "not_enough_history"), ("no number", "candles_refused")],
)
async def test_data_that_cannot_be_learnt_from_is_the_typed_failure_of_the_job(
    shop: Workshop, trouble: str, code: str
) -> None:
    if trouble == "listed last week":
        shop.market.rows = 7
    else:
        shop.market.candles = MARKET.copy()
        shop.market.candles["high"][300] = float("inf")
    job = await shop.train(Mode.FULL)
    assert job.error is not None
    assert (job.status, job.error.code) == (Status.FAILED, code)
    assert not shop.registry.live
