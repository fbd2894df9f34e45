import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.trainer.adapters.parameters import FencedParameters
from services.trainer.domain.failures import OutOfMemory
from services.trainer.domain.slopes import Slope, expected
from services.trainer.job import Worker
from shared.contracts import codec
from shared.contracts.errors import (
    CandlesRefused,
    Fenced,
    LeaseLost,
    LeaseTaken,
    MalformedMessage,
    NotEnoughHistory,
    Permanent,
    TrainingFailed,
    Unavailable,
)
from shared.contracts.events import (
    Event,
    JobCompleted,
    JobFailed,
    JobProgressed,
    JobSkipped,
    ModelPromoted,
    ModelRefused,
)
from shared.contracts.records import JobRecord, LockHolder, Verdict
from shared.contracts.subjects import symbol_lock
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Status
from shared.contracts.trading import EvolvedParameters, SignalParameters
from shared.runtime.lease import LeasePolicy
from shared.runtime.tasks import cancelled
from tests.support.attempts import BETTER, attempt, parameter_search
from tests.support.buckets import MemoryBucket
from tests.support.coordination import (
    BEGIN,
    EmptyCandles,
    MemoryRegistry,
    MemoryRunBook,
    RecordingOutlet,
    SlowPool,
    Story,
    fit_result,
    job_order,
    job_record,
    loop_clock,
    model_record,
    run_record,
)
from tests.support.models import made_up_score
from tests.support.stores import MemoryLeaseStore

SYMBOL = Symbol("BTC/USDT")
LOCK = symbol_lock(SYMBOL)
PATIENCE_S = 3600


class House:
    """One ordered job of a running run, and as many workers as a test wants."""

    def __init__(self) -> None:
        self.story = Story()
        self.leases = MemoryLeaseStore()
        self.book = MemoryRunBook(self.leases, self.story)
        self.outlet = RecordingOutlet(self.story)
        self.registry = MemoryRegistry()
        self.bucket = MemoryBucket()
        self.parameters = FencedParameters(self.bucket)
        self.pool = SlowPool()
        self.book.runs["full-1"] = replace(run_record(), status=Status.RUNNING)
        self.book.note(job_record(SYMBOL))

    async def take(self, *, attempt: int = 1, name: str = "trainer-a", data: bytes = b"") -> None:
        worker = Worker(
            name=name,
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
        async with asyncio.timeout(PATIENCE_S):
            await worker.on_order(data or codec.encode(job_order(SYMBOL)), attempt)

    @property
    def job(self) -> JobRecord:
        return self.book.records["full-1", SYMBOL]

    async def stored_parameters(self) -> EvolvedParameters:
        entry = await self.bucket.get(SYMBOL.token)
        assert entry is not None
        return codec.decode(entry.value, EvolvedParameters)


class SilentAtTheEnd(RecordingOutlet):
    """NATS is gone when a job has been done."""

    async def emit(self, fact: Event) -> None:
        if isinstance(fact, JobCompleted):
            raise Unavailable("NATS does not answer")
        await super().emit(fact)


class Unwritable(MemoryBucket):
    async def create(self, key: str, value: bytes) -> int:
        raise Unavailable("NATS does not answer")


async def test_a_job_ends_with_a_live_model() -> None:
    house = House()
    await house.take()
    model, job = house.registry.live[SYMBOL], house.job
    assert (job.status, job.progress_pct, job.worker) == (Status.SUCCEEDED, 100, "trainer-a")
    assert (job.model_version, job.avg_roc_auc) == (model.version, model.avg_roc_auc)
    assert (model.token, model.epoch, model.run_id) == (1, "memory", "full-1")
    assert house.registry.artifacts[model.sha256] == b"model"


async def test_a_job_takes_as_long_as_its_record_says() -> None:
    house = House()
    await house.take()
    assert (house.job.started_at, house.job.duration_s) == (BEGIN, 10)


async def test_a_version_is_named_by_its_time_and_content() -> None:
    house = House()
    await house.take()
    assert house.registry.live[SYMBOL].version == "20261120T120010-00000000"


async def test_every_step_of_a_job_is_told() -> None:
    house = House()
    await house.take()
    assert house.outlet.types == [
        "job.started",
        "job.progressed",
        "job.progressed",
        "model.promoted",
        "job.completed",
    ]
    stages = [e.stage for e in house.outlet.events if isinstance(e, JobProgressed)]
    assert stages == ["reading", "fitting"]


async def test_a_job_tells_the_newest_of_its_stages_once_a_second() -> None:
    house = House()
    house.pool.stages = {"features": 0.2, "validating": 0.6, "fitting": 3.0, "packing": 3.4}
    await house.take()
    told = [e for e in house.outlet.events if isinstance(e, JobProgressed)]
    assert [(e.stage, e.at - BEGIN) for e in told] == [
        ("reading", timedelta(seconds=0)),
        ("validating", timedelta(seconds=1)),
        ("fitting", timedelta(seconds=3)),
        ("packing", timedelta(seconds=4)),
    ]


async def test_a_promotion_names_the_model_it_replaced() -> None:
    house = House()
    house.registry.live[SYMBOL] = model_record(SYMBOL, token=0, version="before")
    await house.take()
    (promoted,) = [e for e in house.outlet.events if isinstance(e, ModelPromoted)]
    assert promoted.previous_version == "before"


async def test_the_end_of_a_job_is_told_before_it_is_written() -> None:
    house = House()
    await house.take()
    assert house.story[-3:] == ["emit model.promoted", "emit job.completed", "keep job succeeded"]


@pytest.mark.parametrize(
    "reason",
    [
        NotEnoughHistory("90 days of candles of BTC/USDT; a full training needs 180"),
        TrainingFailed("the child said something that is no answer"),
        OutOfMemory("the child reached its cap of 1024 MB"),
        CandlesRefused("a chunk is damaged"),
    ],
)
async def test_whatever_cannot_be_mended_by_trying_again_fails_the_job(reason: Permanent) -> None:
    house = House()
    house.pool.outcome = reason
    await house.take()
    (failed,) = [e for e in house.outlet.events if isinstance(e, JobFailed)]
    assert (failed.error.code, failed.error.message) == (reason.code, str(reason))
    assert (house.job.status, house.job.error) == (Status.FAILED, failed.error)
    assert house.job.finished_at == BEGIN + timedelta(seconds=10)
    assert house.story[-2:] == ["emit job.failed", "keep job failed"]
    assert not house.registry.live


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
async def test_a_job_that_has_ended_is_not_done_again(status: Status) -> None:
    house = House()
    house.book.note(job_record(SYMBOL, status))
    await house.take(attempt=2)
    assert not house.story
    assert not house.pool.trained


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.SKIPPED, Status.CANCELLED])
async def test_a_job_of_a_run_that_has_ended_is_not_done(status: Status) -> None:
    house = House()
    house.book.runs["full-1"] = replace(run_record(), status=status)
    await house.take()
    assert not house.story


async def test_a_job_that_is_in_no_book_is_not_done() -> None:
    house = House()
    house.book.records.clear()
    await house.take()
    assert not house.story


async def test_bytes_that_are_no_job_are_refused() -> None:
    house = House()
    with pytest.raises(MalformedMessage):
        await house.take(data=b'{"run_id": "full-1"}')


async def test_a_symbol_is_trained_by_one_worker_at_a_time() -> None:
    house = House()
    async with asyncio.TaskGroup() as group:
        group.create_task(house.take())
        await asyncio.sleep(5)
        with pytest.raises(LeaseTaken):
            await house.take(attempt=2, name="trainer-b")
    assert len(house.pool.trained) == 1
    assert house.job.worker == "trainer-a"


async def test_the_lock_of_a_symbol_says_who_trains_it() -> None:
    house = House()
    task = asyncio.create_task(house.take())
    await asyncio.sleep(5)
    value = house.leases.value(LOCK)
    assert value is not None
    assert codec.decode(value, LockHolder) == LockHolder(
        run_id="full-1",
        source=house.job.source,
        mode=Mode.FULL,
        holder="trainer-a",
        started_at=BEGIN,
        token=1,
    )
    await task
    assert house.leases.value(LOCK) is None


async def test_the_job_of_a_dead_worker_is_done_by_another_once_its_lock_has_run_out() -> None:
    house = House()
    task = asyncio.create_task(house.take())
    await asyncio.sleep(5)
    house.leases.partitioned = True
    await cancelled(task)
    house.leases.partitioned = False
    with pytest.raises(LeaseTaken):
        await house.take(attempt=2, name="trainer-b")
    await asyncio.sleep(15)
    await house.take(attempt=3, name="trainer-b")
    assert (house.job.status, house.job.worker) == (Status.SUCCEEDED, "trainer-b")


async def test_a_worker_that_loses_its_lock_stops_training_and_leaves_the_job_to_others() -> None:
    house = House()
    house.pool.seconds = 60
    task = asyncio.create_task(house.take())
    await asyncio.sleep(5)
    house.leases.partitioned = True
    with pytest.raises(LeaseLost):
        await task
    ((_, _, ended),) = house.pool.trained
    assert ended < 5 + LeasePolicy().ttl
    assert house.job.status is Status.RUNNING


async def test_a_frozen_worker_that_promotes_late_is_fenced_and_the_newer_model_stays() -> None:
    house = House()

    def sleeps_while_another_takes_over() -> None:
        newer = house.leases.take_over(LOCK, b"trainer-b")
        house.registry.live[SYMBOL] = model_record(SYMBOL, token=newer, version="newer")

    house.registry.meanwhile = sleeps_while_another_takes_over
    with pytest.raises(Fenced):
        await house.take()
    assert house.registry.live[SYMBOL].version == "newer"
    assert not any(isinstance(e, JobCompleted | ModelPromoted) for e in house.outlet.events)
    assert house.job.status is Status.RUNNING


async def test_a_cancelled_run_ends_the_child_of_its_job_within_a_second() -> None:
    house = House()
    house.pool.seconds = 600
    async with asyncio.TaskGroup() as group:
        group.create_task(house.take())
        await asyncio.sleep(60)
        house.book.cancel("full-1")
    ((_, _, ended),) = house.pool.trained
    assert ended <= 61
    assert house.job.status is Status.CANCELLED
    assert house.job.finished_at == BEGIN + timedelta(seconds=ended)
    assert house.job.error is not None
    assert house.job.error.code == "cancelled"
    assert house.leases.value(LOCK) is None


async def test_a_cancelled_job_is_told_to_be_skipped_because_it_was_cancelled() -> None:
    house = House()
    async with asyncio.TaskGroup() as group:
        group.create_task(house.take())
        await asyncio.sleep(5)
        house.book.cancel("full-1")
    skipped = house.outlet.events[-1]
    assert isinstance(skipped, JobSkipped)
    assert skipped.reason == "cancelled"


async def test_a_job_of_a_cancelled_run_never_begins() -> None:
    house = House()
    house.book.cancel("full-1")
    await house.take()
    assert house.outlet.types == ["job.skipped"]
    assert house.job.status is Status.CANCELLED
    assert not house.pool.begun


async def test_a_model_that_has_been_made_when_its_run_is_cancelled_goes_live() -> None:
    house = House()
    house.registry.meanwhile = lambda: house.book.cancel("full-1")
    await house.take()
    assert house.job.status is Status.SUCCEEDED
    assert house.registry.live[SYMBOL].version == house.job.model_version


async def test_an_outage_only_delays_a_cancellation() -> None:
    house = House()
    house.pool.seconds = 600
    async with asyncio.TaskGroup() as group:
        group.create_task(house.take())
        await asyncio.sleep(5)
        house.book.answers = False
        house.book.cancel("full-1")
        await asyncio.sleep(5)
        assert not house.pool.trained
        house.book.answers = True
    assert house.job.status is Status.CANCELLED


async def test_an_outage_is_no_failure_of_the_job() -> None:
    house = House()
    house.pool.outcome = Unavailable("NATS does not answer")
    with pytest.raises(Unavailable):
        await house.take()
    assert house.job.status is Status.RUNNING
    assert house.leases.value(LOCK) is None


async def test_a_job_expects_of_its_calibration_what_the_models_of_others_bear_out() -> None:
    house, other = House(), Symbol("ETH/USDT")
    too_bold = replace(made_up_score(horizon=3), slope=0.2, slope_error=0.1)
    house.registry.live[other] = replace(model_record(other), scores=(too_bold,))
    await house.take()
    (job,) = house.pool.jobs
    assert job.slopes == {1: expected([]), 3: expected([Slope(mean=0.2, spread=0.1)])}


async def test_a_job_that_takes_its_trainer_down_again_and_again_is_given_up() -> None:
    house = House()
    await house.take(attempt=21)
    assert house.job.error is not None
    assert house.job.error.code == "worker_lost"
    assert not house.pool.trained


async def test_a_job_is_never_given_up_while_somebody_trains_it() -> None:
    house = House()
    async with asyncio.TaskGroup() as group:
        group.create_task(house.take())
        await asyncio.sleep(5)
        with pytest.raises(LeaseTaken):
            await house.take(attempt=21, name="trainer-b")
    assert house.job.status is Status.SUCCEEDED


WORSE = Verdict(
    live_version="before",
    margin=0.005,
    horizons=(1, 3),
    rows=500,
    excess=0.031,
    excess_low=0.015,
)


def _refusing_house() -> House:
    house = House()
    house.registry.live[SYMBOL] = model_record(SYMBOL, token=0, version="before")
    house.pool.outcome = replace(fit_result(), verdict=WORSE)
    return house


async def test_a_model_that_is_worse_than_the_live_one_does_not_replace_it() -> None:
    house = _refusing_house()
    await house.take()
    assert house.registry.live[SYMBOL].version == "before"
    assert b"model" in house.registry.artifacts.values()


async def test_a_refusal_is_a_job_that_succeeded_without_a_version_and_says_why() -> None:
    house = _refusing_house()
    await house.take()
    job = house.job
    assert (job.status, job.model_version, job.error) == (Status.SUCCEEDED, None, None)
    assert job.refused is not None
    assert job.refused.code == "worse_than_live"
    assert "before on 500 candles" in job.refused.message
    assert "0.0310 nats" in job.refused.message


async def test_a_refusal_is_told_with_its_numbers() -> None:
    house = _refusing_house()
    await house.take()
    assert house.outlet.types[-2:] == ["model.refused", "job.completed"]
    refused, completed = house.outlet.events[-2:]
    assert isinstance(refused, ModelRefused)
    assert refused.verdict == WORSE
    assert refused.sha256 in house.registry.artifacts
    assert isinstance(completed, JobCompleted)
    assert (completed.model_version, completed.refused) == (None, refused.reason)


async def test_a_promoted_model_keeps_the_verdict_that_let_it_pass() -> None:
    house = _refusing_house()
    better = replace(WORSE, excess=-0.02, excess_low=-0.05)
    house.pool.outcome = replace(fit_result(), verdict=better)
    await house.take()
    assert house.registry.live[SYMBOL].verdict == better
    assert house.job.refused is None


async def test_a_job_is_given_the_live_models_artifact_to_be_compared_with() -> None:
    house = House()
    live = model_record(SYMBOL, token=0, version="before")
    house.registry.live[SYMBOL] = live
    house.registry.artifacts[live.sha256] = b"the live one"
    await house.take()
    assert house.pool.inputs[0].rival == b"the live one"


async def test_a_live_model_whose_artifact_is_lost_does_not_stop_the_training() -> None:
    house = House()
    house.registry.live[SYMBOL] = model_record(SYMBOL, token=0, version="before")
    await house.take()
    assert house.pool.inputs[0].rival == b""
    assert house.registry.live[SYMBOL].version != "before"


async def test_a_job_is_given_what_its_symbol_follows_now() -> None:
    house = House()
    await house.parameters.note(SYMBOL, attempt("full-0"), token=1, epoch="before")
    await house.take()
    assert [job.parameters for job in house.pool.jobs] == [BETTER]


@pytest.mark.parametrize("adopted", [True, False])
async def test_what_a_search_found_is_noted_with_the_model_that_went_live(adopted: bool) -> None:
    house = House()
    house.pool.outcome = replace(fit_result(), search=parameter_search(adopted=adopted))
    await house.take()
    stored = await house.stored_parameters()
    model = house.registry.live[SYMBOL]
    assert stored.parameters == (BETTER if adopted else SignalParameters())
    assert (stored.token, stored.epoch) == (model.token, model.epoch)
    (known,) = stored.history
    assert (known.run_id, known.model_version, known.at) == (
        "full-1",
        model.version,
        model.created_at,
    )
    assert (known.adopted, known.before, known.after) == (adopted, SignalParameters(), BETTER)


async def test_a_refused_model_changes_no_parameters() -> None:
    house = House()
    house.registry.live[SYMBOL] = model_record(SYMBOL, token=0)
    house.pool.outcome = replace(fit_result(), verdict=WORSE, search=parameter_search())
    await house.take()
    assert await house.parameters.in_force(SYMBOL) == SignalParameters()


async def test_a_job_whose_worker_died_before_its_end_adopts_once() -> None:
    house = House()
    house.pool.outcome = replace(fit_result(), search=parameter_search())
    house.outlet = SilentAtTheEnd(house.story)
    with pytest.raises(Unavailable):
        await house.take()
    further = parameter_search(before=BETTER, after=replace(BETTER, take_profit_atr=4.0))
    house.pool.outcome = replace(fit_result(), search=further)
    house.outlet = RecordingOutlet(house.story)
    await house.take(attempt=2, name="trainer-b")
    stored = await house.stored_parameters()
    assert stored.parameters == BETTER
    assert [known.run_id for known in stored.history] == ["full-1"]
    assert house.job.status is Status.SUCCEEDED


async def test_what_a_dead_worker_did_not_note_is_noted_by_the_next() -> None:
    house = House()
    house.pool.outcome = replace(fit_result(), search=parameter_search())
    noted, house.parameters = house.parameters, FencedParameters(Unwritable())
    with pytest.raises(Unavailable):
        await house.take()
    assert house.registry.live
    house.parameters = noted
    await house.take(attempt=2, name="trainer-b")
    stored = await house.stored_parameters()
    assert stored.history[0].model_version == house.registry.live[SYMBOL].version
    assert len(stored.history) == 1
