import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from services.trainer.adapters import strays
from services.trainer.adapters.outlet import BusOutlet
from services.trainer.adapters.runbook import KvRunBook
from shared.bus.connection import Connection
from shared.bus.locks import JetStreamLeases
from shared.bus.publisher import Publisher
from shared.bus.rpc import ask
from shared.contracts import codec, subjects
from shared.contracts.events import RequestRefused, RunSkipped, RunStarted
from shared.contracts.records import LockHolder, RunRecord
from shared.contracts.requests import CancelRequest, TrainRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Status
from tests.support.coordination import BEGIN, job_order, symbols
from tests.support.system import eventually
from tests.support.trainers import Listener, Trainer, scheduler, trainer

SIX = symbols(6)
CYCLE = codec.encode(
    LockHolder(
        run_id="cycle-0", source=Source.AUTOMATION, mode=Mode.CYCLE, holder="x", started_at=BEGIN
    )
)


@pytest.fixture
async def book(connection: Connection) -> KvRunBook:
    return KvRunBook(connection)


@pytest.fixture
async def events(connection: Connection) -> Listener:
    listener = Listener()
    await listener.listen(connection)
    return listener


@pytest.fixture
async def _scheduler(connection: Connection, tmp_path: Path) -> AsyncIterator[None]:
    async with scheduler(connection, SIX, tmp_path):
        yield


async def request(connection: Connection, mode: Mode, run_id: str, *, batch_size: int = 25) -> None:
    wanted = TrainRequest(request_id=run_id, batch_size=batch_size)
    await connection.js.publish(subjects.train(mode), codec.encode(wanted))


async def ended(book: KvRunBook, run_id: str, *, within: float = 10) -> RunRecord:
    async def final() -> RunRecord | None:
        run = await book.run(run_id)
        return run if run and run.status.final else None

    return await eventually(final, within=within)


async def training(*trainers: Trainer, within: float = 5) -> None:
    """Wait until each of them is in the middle of a job."""

    async def busy() -> bool:
        return all(one.pool.begun > len(one.pool.trained) for one in trainers)

    await eventually(busy, within=within)


async def empty(connection: Connection, stream: str) -> bool:
    return (await connection.js.stream_info(stream)).state.messages == 0


def intervals(symbol: Symbol, *trainers: Trainer) -> list[tuple[float, float]]:
    """When the symbol was trained by any of them, in order."""
    return sorted(
        (begun, over) for one in trainers for s, begun, over in one.pool.trained if s == symbol
    )


def never_twice_at_once(*trainers: Trainer) -> bool:
    return all(
        over <= begun
        for symbol in SIX
        for (_, over), (begun, _) in pairwise(intervals(symbol, *trainers))
    )


@pytest.mark.usefixtures("_scheduler")
async def test_two_trainers_share_the_jobs_and_train_each_symbol_once(
    connection: Connection, nats_url: str, book: KvRunBook
) -> None:
    async with trainer(nats_url, "a") as a, trainer(nats_url, "b") as b:
        await request(connection, Mode.FULL, "full-1", batch_size=3)
        run = await ended(book, "full-1")
    assert (run.status, run.done) == (Status.SUCCEEDED, 6)
    assert run.check is not None
    assert run.check.sound == 6
    assert [len(intervals(symbol, a, b)) for symbol in SIX] == [1] * 6
    assert a.pool.trained
    assert b.pool.trained


@pytest.mark.usefixtures("_scheduler")
async def test_the_job_of_a_killed_worker_is_done_by_another_after_its_locks_time(
    connection: Connection, nats_url: str, book: KvRunBook
) -> None:
    async with (
        trainer(nats_url, "coordinator", works=False),
        trainer(nats_url, "killed", seconds=60, coordinates=False) as killed,
    ):
        await request(connection, Mode.FULL, "full-1", batch_size=2)
        await training(killed)
        async with trainer(nats_url, "other", coordinates=False) as other:
            await killed.kill()
            run = await ended(book, "full-1")
    assert (run.status, run.done) == (Status.SUCCEEDED, 6)
    assert never_twice_at_once(killed, other)
    assert len(other.pool.trained) == 6


@pytest.mark.usefixtures("_scheduler")
async def test_a_worker_that_is_stopped_lets_go_of_its_lock_at_once(
    connection: Connection, nats_url: str, book: KvRunBook
) -> None:
    leases = await JetStreamLeases.open(connection)
    async with (
        trainer(nats_url, "coordinator", works=False),
        trainer(nats_url, "stopped", seconds=60, coordinates=False) as stopped,
    ):
        await request(connection, Mode.FULL, "full-1", batch_size=1)
        await training(stopped)
        await stopped.stop()
        await leases.create(subjects.symbol_lock(SIX[0]), b"free", ttl=1)


@pytest.mark.usefixtures("_scheduler")
async def test_the_run_of_a_killed_coordinator_is_continued_by_another_and_completes_once(
    connection: Connection, nats_url: str, book: KvRunBook, events: Listener
) -> None:
    async with (
        trainer(nats_url, "worker", coordinates=False) as worker,
        trainer(nats_url, "killed", works=False) as killed,
    ):
        await request(connection, Mode.FULL, "full-1", batch_size=1)
        await training(worker)
        await killed.kill()
        begun = await book.run("full-1")
        async with trainer(nats_url, "other", works=False):
            run = await ended(book, "full-1")
            await asyncio.sleep(0.2)
    assert (run.status, run.done) == (Status.SUCCEEDED, 6)
    assert begun is not None
    assert run.started_at == begun.started_at
    assert [len(intervals(symbol, worker)) for symbol in SIX] == [1] * 6
    assert len(events.of("run.started")) == 2
    assert len(events.of("run.completed")) == 1


@pytest.mark.usefixtures("_scheduler")
async def test_a_trainer_that_is_killed_with_both_its_roles_loses_nothing(
    connection: Connection, nats_url: str, book: KvRunBook
) -> None:
    async with trainer(nats_url, "killed", seconds=60) as killed:
        await request(connection, Mode.FULL, "full-1", batch_size=2)
        await training(killed)
        async with trainer(nats_url, "other") as other:
            await killed.kill()
            run = await ended(book, "full-1")
    assert (run.status, run.done) == (Status.SUCCEEDED, 6)
    assert never_twice_at_once(killed, other)


@pytest.mark.usefixtures("_scheduler")
async def test_a_bare_publish_of_nothing_starts_a_run(
    connection: Connection, nats_url: str, events: Listener
) -> None:
    async with trainer(nats_url, "a", seconds=0):
        await connection.client.publish("evertrain.train.quick", b"")

        async def completed() -> bool:
            return len(events.of("run.completed")) == 1

        await eventually(completed, within=5)
        (requested,) = events.of("run.requested")
        assert requested.id.startswith("run.requested:quick-")
        await eventually(lambda: empty(connection, subjects.REQUESTS), within=2)


@pytest.mark.usefixtures("_scheduler")
async def test_a_request_that_is_sent_twice_is_one_run(
    connection: Connection, nats_url: str, book: KvRunBook, events: Listener
) -> None:
    async with trainer(nats_url, "a", seconds=0) as a:
        await request(connection, Mode.FULL, "full-1")
        await request(connection, Mode.FULL, "full-1")
        await ended(book, "full-1")
        await eventually(lambda: empty(connection, subjects.REQUESTS), within=5)
    assert len(a.pool.trained) == 6
    assert len(events.of("run.completed")) == 1


@pytest.mark.usefixtures("_scheduler")
async def test_a_cycle_is_skipped_while_another_run_trains_and_names_it(
    connection: Connection, nats_url: str, book: KvRunBook, events: Listener
) -> None:
    holder = LockHolder(
        run_id="full-0", source=Source.CRONTAB, mode=Mode.FULL, holder="x", started_at=BEGIN
    )
    leases = await JetStreamLeases.open(connection)
    await leases.create(subjects.TRAINING_LOCK, codec.encode(holder), ttl=60)
    async with trainer(nats_url, "a"):
        await request(connection, Mode.CYCLE, "cycle-1")
        run = await ended(book, "cycle-1")
    assert run.status is Status.SKIPPED
    (skipped,) = events.of("run.skipped")
    assert isinstance(skipped, RunSkipped)
    assert skipped.lock == holder


async def refusal(connection: Connection, events: Listener) -> tuple[dict[str, str], bytes]:
    """The headers and the content of the one message that was parked."""

    async def refused() -> bool:
        return bool(events.of("request.refused"))

    await eventually(refused, within=5)
    (event,) = events.of("request.refused")
    parked = await connection.js.get_last_msg(subjects.DEAD, subjects.dead(subjects.REQUESTS))
    headers = parked.headers or {}
    assert isinstance(event, RequestRefused)
    assert event.subject == headers["Evertrain-Subject"]
    assert event.error.code == headers["Evertrain-Code"]
    await eventually(lambda: empty(connection, subjects.REQUESTS), within=5)
    assert (await connection.js.stream_info(subjects.DEAD)).state.messages == 1
    return headers, parked.data or b""


@pytest.mark.usefixtures("_scheduler")
@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"symbols": [', "malformed_message"),
        (b'{"batch_size": 0}', "malformed_message"),
        (b'{"symbols": ["btc/usdt"]}', "invalid_symbol"),
        (b'{"symbols": ["DOGE/USDT"]}', "unknown_symbol"),
    ],
)
async def test_a_request_that_can_never_be_handled_is_parked_with_its_reason(
    connection: Connection, nats_url: str, events: Listener, payload: bytes, code: str
) -> None:
    async with trainer(nats_url, "a"):
        await connection.js.publish("evertrain.train.full", payload)
        headers, parked = await refusal(connection, events)
    assert (headers["Evertrain-Code"], parked) == (code, payload)


async def test_a_request_for_a_mode_that_does_not_exist_is_parked_once_by_all_trainers(
    connection: Connection, nats_url: str, events: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays, "_EVERY_S", 0.1)
    async with AsyncExitStack() as stack:
        for name in "abc":
            await stack.enter_async_context(trainer(nats_url, name))
        await connection.js.publish("evertrain.train.banana", b"{}")
        headers, parked = await refusal(connection, events)
    assert headers["Evertrain-Subject"] == "evertrain.train.banana"
    assert "'banana'" in headers["Evertrain-Reason"]
    assert "cycle, incremental, full, quick" in headers["Evertrain-Reason"]
    assert parked == b"{}"


async def test_what_came_for_a_mode_that_does_not_exist_while_no_trainer_ran_is_parked_too(
    connection: Connection, nats_url: str, events: Listener
) -> None:
    await connection.js.publish("evertrain.train.QUICK", b"")
    async with trainer(nats_url, "a"):
        headers, _ = await refusal(connection, events)
    assert headers["Evertrain-Subject"] == "evertrain.train.QUICK"


async def test_an_order_waits_while_the_symbol_is_queued_by_an_older_run(
    connection: Connection, publisher: Publisher
) -> None:
    outlet, (symbol, *_) = BusOutlet(connection, publisher), SIX
    await outlet.order(job_order(symbol, run_id="full-1"))
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(outlet.order(job_order(symbol, run_id="full-2")))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await connection.js.purge_stream(subjects.JOBS)
    queued = await connection.js.get_last_msg(subjects.JOBS, subjects.job(symbol))
    assert b"full-2" in (queued.data or b"")


async def test_ordering_a_job_again_is_the_same_job(
    connection: Connection, publisher: Publisher
) -> None:
    outlet, order = BusOutlet(connection, publisher), job_order(SIX[0])
    async with asyncio.timeout(2):
        await outlet.order(order)
        await outlet.order(order)
    assert (await connection.js.stream_info(subjects.JOBS)).state.messages == 1


async def test_an_order_that_its_run_queued_long_ago_is_not_waited_for(
    connection: Connection, publisher: Publisher
) -> None:
    outlet, order = BusOutlet(connection, publisher), job_order(SIX[0])
    # Without the message id of an order: the server remembers those for two minutes only.
    await connection.js.publish(subjects.job(order.symbol), codec.encode(order))
    async with asyncio.timeout(2):
        await outlet.order(order)
    assert (await connection.js.stream_info(subjects.JOBS)).state.messages == 1


async def test_a_request_waits_for_the_scheduler_to_come(
    connection: Connection, nats_url: str, book: KvRunBook, tmp_path: Path
) -> None:
    async with trainer(nats_url, "a", seconds=0):
        await request(connection, Mode.FULL, "full-1")
        await asyncio.sleep(0.5)
        assert await book.run("full-1") is None
        async with scheduler(connection, SIX, tmp_path):
            run = await ended(book, "full-1")
    assert run.status is Status.SUCCEEDED


@pytest.mark.usefixtures("_scheduler")
async def test_runs_take_turns_in_the_order_of_their_requests_also_when_a_coordinator_dies(
    connection: Connection, nats_url: str, book: KvRunBook, events: Listener
) -> None:
    wanted = [f"full-{number}" for number in range(5)]
    async with trainer(nats_url, "killed") as killed:
        for run_id, symbol in zip(wanted, SIX, strict=False):
            one = TrainRequest(request_id=run_id, symbols=(symbol,))
            await connection.js.publish(subjects.train(Mode.FULL), codec.encode(one))
        await ended(book, "full-0")
        await training(killed)
        async with trainer(nats_url, "b"), trainer(nats_url, "c"):
            await killed.kill()
            await ended(book, wanted[-1])
    begun = [event.run_id for event in events.of("run.started") if isinstance(event, RunStarted)]
    assert list(dict.fromkeys(begun)) == wanted


@pytest.mark.usefixtures("_scheduler")
async def test_a_request_that_waits_behind_its_like_is_done_with_it(
    connection: Connection, nats_url: str, book: KvRunBook, events: Listener
) -> None:
    leases = await JetStreamLeases.open(connection)
    held = await leases.create(subjects.TRAINING_LOCK, CYCLE, ttl=60)
    async with trainer(nats_url, "a", seconds=0) as a:
        await request(connection, Mode.FULL, "manual")
        await request(connection, Mode.FULL, "crontab")
        await asyncio.sleep(0.5)
        await leases.delete(subjects.TRAINING_LOCK, CYCLE, held)
        manual, crontab = await ended(book, "manual"), await ended(book, "crontab")
    assert (manual.status, crontab.status) == (Status.SUCCEEDED, Status.SKIPPED)
    assert len(a.pool.trained) == 6
    (skipped,) = events.of("run.skipped")
    assert isinstance(skipped, RunSkipped)
    assert "run manual does the same" in skipped.reason


async def cancel(connection: Connection, run_id: str | None = None) -> list[RunRecord]:
    question = CancelRequest(run_id=run_id)
    return await ask(connection, "evertrain.scheduler.cancel", question, list[RunRecord])


@pytest.mark.usefixtures("_scheduler")
async def test_a_cancelled_run_ends_everywhere_within_seconds_and_the_next_one_succeeds(
    connection: Connection, nats_url: str, book: KvRunBook, events: Listener
) -> None:
    async with (
        trainer(nats_url, "a", seconds=60) as a,
        trainer(nats_url, "b", seconds=60, coordinates=False) as b,
    ):
        await request(connection, Mode.FULL, "full-1", batch_size=4)
        await training(a, b)
        (asked,) = await cancel(connection, "full-1")
        assert asked.cancel_requested_at is not None
        run = await ended(book, "full-1", within=5)
        a.pool.seconds = b.pool.seconds = 0
        await request(connection, Mode.FULL, "full-2")
        assert (await ended(book, "full-2")).status is Status.SUCCEEDED
    assert (run.status, run.done, run.skipped) == (Status.CANCELLED, 0, 6)
    assert {job.status for job in await book.jobs("full-1")} == {Status.CANCELLED}
    assert len(events.of("job.skipped")) == 6
    assert len(events.of("run.failed")) == 1


@pytest.mark.usefixtures("_scheduler")
async def test_everything_is_cancelled_what_trains_and_what_waits_and_what_nobody_has_opened(
    connection: Connection, nats_url: str, book: KvRunBook
) -> None:
    async with trainer(nats_url, "a", seconds=60) as a:
        await request(connection, Mode.FULL, "full-1")
        await training(a)
        await connection.js.publish("evertrain.train.quick", b"")
        asked = await cancel(connection)
        assert [run.mode for run in asked] == [Mode.FULL, Mode.QUICK]
        for run in asked:
            assert (await ended(book, run.run_id)).status is Status.CANCELLED
        await eventually(lambda: empty(connection, subjects.REQUESTS), within=5)
        await eventually(lambda: empty(connection, subjects.JOBS), within=5)
