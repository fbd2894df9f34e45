"""Asking for the end of runs, on a real bus; the scheduler's side."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from services.scheduler.adapters.runbook import KvRunBook
from services.scheduler.cancellation import Cancellation
from services.trainer.adapters.outlet import BusOutlet
from services.trainer.adapters.runbook import KvRunBook as TrainerRunBook
from shared.bus.connection import Connection
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.errors import NotFound
from shared.contracts.records import RunRecord
from shared.contracts.requests import CancelRequest, TrainRequest
from shared.contracts.terms import Mode, Source, Status
from tests.support.coordination import BEGIN, job_order, run_record, symbols

ONE, TWO = symbols(2)
RUNNING = replace(run_record(run_id="full-1"), status=Status.RUNNING, started_at=BEGIN)
ENDED = replace(run_record(run_id="full-0"), status=Status.SUCCEEDED)


class View:
    """What the scheduler knows of runs."""

    def __init__(self, unfinished: Sequence[RunRecord]) -> None:
        self._unfinished = list(unfinished)

    async def unfinished(self) -> list[RunRecord]:
        return self._unfinished


@pytest.fixture
async def book(connection: Connection) -> TrainerRunBook:
    book = TrainerRunBook(connection)
    await book.keep_run(ENDED)
    await book.keep_run(RUNNING)
    return book


def cancellation(connection: Connection) -> Cancellation:
    return Cancellation(View([RUNNING]), KvRunBook(connection), lambda: BEGIN)


async def request(connection: Connection, mode: Mode, payload: bytes = b"") -> None:
    await connection.js.publish(subjects.train(mode), payload)


async def test_one_run_is_asked_to_end_and_nothing_else_of_it_changes(
    connection: Connection, book: TrainerRunBook
) -> None:
    (asked,) = await cancellation(connection).cancel(CancelRequest(run_id="full-1"))
    assert asked == replace(RUNNING, cancel_requested_at=BEGIN)
    assert await book.run("full-1") == asked


async def test_a_run_that_has_ended_stays_as_it_ended(
    connection: Connection, book: TrainerRunBook
) -> None:
    assert await cancellation(connection).cancel(CancelRequest(run_id="full-0")) == [ENDED]
    assert await book.run("full-0") == ENDED


async def test_a_run_that_nobody_asked_for_cannot_be_cancelled(
    connection: Connection, book: TrainerRunBook
) -> None:
    with pytest.raises(NotFound, match="full-7"):
        await cancellation(connection).cancel(CancelRequest(run_id="full-7"))
    assert await book.run("full-7") is None


async def test_a_request_that_no_trainer_has_opened_yet_is_cancelled_by_the_id_it_will_have(
    connection: Connection, book: TrainerRunBook
) -> None:
    await request(connection, Mode.FULL, codec.encode(TrainRequest(request_id="api-1")))
    (asked,) = await cancellation(connection).cancel(CancelRequest(run_id="api-1"))
    assert (asked.status, asked.symbols, asked.cancel_requested_at) == (Status.QUEUED, (), BEGIN)
    assert await book.run("api-1") == asked


@pytest.mark.usefixtures("book")
async def test_everything_is_the_run_in_progress_and_all_that_wait(
    connection: Connection,
) -> None:
    await request(connection, Mode.FULL, codec.encode(TrainRequest(request_id="full-0")))
    await request(connection, Mode.QUICK, codec.encode(TrainRequest(source=Source.API)))
    await request(connection, Mode.CYCLE)
    await connection.js.publish("evertrain.train.banana", b"{}")
    await request(connection, Mode.FULL, b'{"symbols": [')
    asked = await cancellation(connection).cancel(CancelRequest())
    assert {(run.mode, run.source, run.cancel_requested_at) for run in asked} == {
        (Mode.FULL, Source.MANUAL, BEGIN),
        (Mode.QUICK, Source.API, BEGIN),
        (Mode.CYCLE, Source.MANUAL, BEGIN),
    }
    assert "full-0" not in {run.run_id for run in asked}


async def test_a_coordinator_that_opens_a_run_meanwhile_finds_it_cancelled(
    connection: Connection, book: TrainerRunBook
) -> None:
    await request(connection, Mode.FULL, codec.encode(TrainRequest(request_id="api-1")))
    await cancellation(connection).cancel(CancelRequest())
    opened = await book.keep_run(run_record(run_id="api-1", count=2))
    assert (opened.total, opened.cancel_requested_at) == (2, BEGIN)


async def test_an_order_is_taken_back_unless_it_is_another_runs(
    connection: Connection, publisher: Publisher
) -> None:
    outlet = BusOutlet(connection, publisher)
    await outlet.order(job_order(ONE, run_id="full-1"))
    await outlet.order(job_order(TWO, run_id="full-2"))
    for symbol in (ONE, TWO):
        await outlet.take_back("full-1", symbol)
    state = (await connection.js.stream_info(subjects.JOBS, subjects_filter=">")).state
    assert set(state.subjects or {}) == {subjects.job(TWO)}
