"""What a worker does about the full model that an update starts from."""

import asyncio
from dataclasses import replace

from services.trainer.adapters.parameters import FencedParameters
from services.trainer.domain.jobs import FitJob, FitResult, Inputs, Progress
from services.trainer.job import Worker
from shared.contracts import codec
from shared.contracts.events import JobCompleted
from shared.contracts.records import JobRecord, ModelRecord, Verdict
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Status
from shared.runtime.lease import LeasePolicy
from tests.support.buckets import MemoryBucket
from tests.support.coordination import (
    EmptyCandles,
    MemoryRegistry,
    MemoryRunBook,
    RecordingOutlet,
    Story,
    fit_result,
    job_order,
    job_record,
    loop_clock,
    model_record,
    run_record,
)
from tests.support.stores import MemoryLeaseStore

SYMBOL = Symbol("BTC/USDT")
UPDATED = replace(fit_result(b"updated"), mode=Mode.INCREMENTAL)
IN_FULL = replace(fit_result(b"full"), native=b"native", note="trained in full: there is no base")


class NotingPool:
    """Answers with `outcome`, and keeps what it was given."""

    def __init__(self) -> None:
        self.outcome: FitResult = IN_FULL
        self.given: list[tuple[FitJob, Inputs]] = []

    async def run(
        self, job: FitJob, inputs: Inputs, *, deadline_s: float, on_progress: Progress
    ) -> FitResult:
        self.given.append((job, inputs))
        return self.outcome


class Workshop:
    """One symbol, and jobs of it one after another."""

    def __init__(self) -> None:
        self.leases = MemoryLeaseStore()
        self.book = MemoryRunBook(self.leases, Story())
        self.outlet = RecordingOutlet(Story())
        self.registry = MemoryRegistry()
        self.parameters = FencedParameters(MemoryBucket())
        self.pool = NotingPool()
        self.book.runs["full-1"] = replace(run_record(), status=Status.RUNNING)

    async def train(self, mode: Mode, outcome: FitResult) -> JobRecord:
        self.book.note(replace(job_record(SYMBOL), mode=mode))
        self.pool.outcome = outcome
        worker = Worker(
            name="trainer-a",
            deadline_s=60,
            book=self.book,
            candles=EmptyCandles(),
            pool=self.pool,
            registry=self.registry,
            parameters=self.parameters,
            peers=self.registry,
            outlet=self.outlet,
            leases=self.leases,
            policy=LeasePolicy(),
            clock=loop_clock,
        )
        async with asyncio.timeout(3600):
            await worker.on_order(codec.encode(replace(job_order(SYMBOL), mode=mode)), 1)
        return self.book.records["full-1", SYMBOL]

    @property
    def live(self) -> ModelRecord:
        return self.registry.live[SYMBOL]


async def test_the_native_file_of_a_full_model_is_kept_beside_it() -> None:
    shop = Workshop()
    await shop.train(Mode.FULL, IN_FULL)
    assert shop.live.native_sha256 is not None
    assert shop.registry.artifacts[shop.live.native_sha256] == b"native"
    assert (shop.live.base_version, shop.live.updates) == (None, 0)


async def test_every_update_starts_from_the_full_model_and_never_from_an_update() -> None:
    shop = Workshop()
    await shop.train(Mode.FULL, IN_FULL)
    base = shop.live
    for number in (1, 2, 3):
        await shop.train(Mode.INCREMENTAL, UPDATED)
        job, inputs = shop.pool.given[-1]
        assert (job.mode, job.updates, inputs.base) == (Mode.INCREMENTAL, number - 1, b"native")
        assert (shop.live.base_version, shop.live.updates) == (base.version, number)
        assert shop.live.native_sha256 == base.native_sha256
        assert shop.live.mode is Mode.INCREMENTAL


async def test_an_update_is_compared_with_what_is_live_and_not_with_its_base() -> None:
    shop = Workshop()
    await shop.train(Mode.FULL, IN_FULL)
    await shop.train(Mode.INCREMENTAL, UPDATED)
    await shop.train(Mode.INCREMENTAL, UPDATED)
    job, inputs = shop.pool.given[-1]
    assert inputs.rival == b"updated"
    assert job.live is not None


async def test_a_full_training_is_given_no_base() -> None:
    shop = Workshop()
    await shop.train(Mode.FULL, IN_FULL)
    await shop.train(Mode.FULL, IN_FULL)
    assert shop.pool.given[-1][1].base == b""


async def test_a_lost_base_is_given_as_none_and_what_was_done_instead_is_recorded() -> None:
    shop = Workshop()
    await shop.train(Mode.FULL, IN_FULL)
    assert shop.live.native_sha256 is not None
    del shop.registry.artifacts[shop.live.native_sha256]
    job = await shop.train(Mode.INCREMENTAL, IN_FULL)
    assert shop.pool.given[-1][1].base == b""
    assert (job.mode, job.note) == (Mode.FULL, IN_FULL.note)
    assert (shop.live.mode, shop.live.updates) == (Mode.FULL, 0)
    (*_, told) = (e for e in shop.outlet.events if isinstance(e, JobCompleted))
    assert (told.mode, told.note) == (Mode.FULL, IN_FULL.note)


async def test_a_model_that_says_nothing_of_a_base_has_none() -> None:
    shop = Workshop()
    shop.registry.live[SYMBOL] = model_record(SYMBOL, token=0)
    await shop.train(Mode.INCREMENTAL, IN_FULL)
    assert shop.pool.given[-1][1].base == b""


async def test_an_update_that_has_fallen_behind_is_live_and_says_so() -> None:
    shop = Workshop()
    await shop.train(Mode.FULL, IN_FULL)
    job = await shop.train(Mode.INCREMENTAL, replace(UPDATED, needs_full=True, note="due"))
    assert shop.live.needs_full
    assert job.note == "due"
    await shop.train(Mode.FULL, IN_FULL)
    assert not shop.live.needs_full


async def test_a_refused_update_that_has_fallen_behind_leaves_its_wish_with_the_live_model() -> (
    None
):
    shop = Workshop()
    await shop.train(Mode.FULL, IN_FULL)
    live = shop.live
    worse = Verdict(
        live_version=live.version, margin=0.005, horizons=(1,), rows=90, excess=0.2, excess_low=0.1
    )
    await shop.train(Mode.INCREMENTAL, replace(UPDATED, needs_full=True, verdict=worse))
    assert shop.live == replace(live, needs_full=True, token=shop.live.token)


async def test_horizons_that_the_history_is_too_short_for_are_on_the_record() -> None:
    shop = Workshop()
    job = await shop.train(Mode.FULL, replace(IN_FULL, dropped=(30,)))
    assert job.dropped == (30,)
    (told,) = (e for e in shop.outlet.events if isinstance(e, JobCompleted))
    assert told.dropped == (30,)
