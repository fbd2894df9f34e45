import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from services.scheduler.adapters.view import SCHEMA, RunView, follow_runs
from services.trainer.adapters.runbook import KvRunBook
from shared.bus.connection import Connection
from shared.bus.kv import Bucket, Entry
from shared.contracts import codec, subjects
from shared.contracts.records import JobRecord, RunRecord
from shared.contracts.requests import JobsRequest, RunsRequest
from shared.contracts.terms import Mode, Status
from shared.runtime.tasks import alongside
from shared.storage.sqlite import open_view
from tests.support.coordination import BEGIN, job_record, run_record, symbols
from tests.support.system import eventually

MINUTE = timedelta(minutes=1)
revisions = count(1)


@pytest.fixture
async def view(tmp_path: Path) -> AsyncIterator[RunView]:
    async with open_view(tmp_path / "runs.sqlite", SCHEMA) as database:
        yield RunView(database)


async def take(view: RunView, *records: RunRecord | JobRecord, revision: int | None = None) -> None:
    for record in records:
        key = (
            subjects.run_key(record.run_id)
            if isinstance(record, RunRecord)
            else subjects.job_key(record.run_id, record.symbol)
        )
        await view.take(Entry(key, codec.encode(record), revision or next(revisions)))


def runs(number: int) -> list[RunRecord]:
    """Runs a minute apart, oldest first."""
    return [
        replace(run_record(run_id=f"full-{n}"), requested_at=BEGIN + n * MINUTE)
        for n in range(number)
    ]


def jobs(number: int, status: Status = Status.QUEUED) -> list[JobRecord]:
    return [job_record(symbol, status) for symbol in symbols(number)]


async def test_runs_of_one_mode_are_found(view: RunView) -> None:
    quick = replace(run_record(run_id="quick-1"), mode=Mode.QUICK)
    await take(view, *runs(2), quick)
    assert await view.runs(RunsRequest(mode=Mode.QUICK)) == [quick]


async def test_what_was_taken_is_given_back_as_it_was(view: RunView) -> None:
    run, job = run_record(), job_record(symbols(1)[0], Status.FAILED, finished_at=BEGIN)
    await take(view, run, job)
    assert await view.runs(RunsRequest()) == [run]
    assert await view.jobs(JobsRequest()) == [job]


async def test_runs_come_newest_first_page_by_page(view: RunView) -> None:
    await take(view, *runs(5))
    first = await view.runs(RunsRequest(limit=2))
    second = await view.runs(RunsRequest(limit=2, before=first[-1].run_id))
    third = await view.runs(RunsRequest(limit=2, before=second[-1].run_id))
    assert [run.run_id for run in first + second + third] == [f"full-{n}" for n in (4, 3, 2, 1, 0)]


async def test_pages_of_jobs_made_at_the_same_moment_neither_repeat_nor_skip(
    view: RunView,
) -> None:
    await take(view, *jobs(7))
    found: list[JobRecord] = []
    while page := await view.jobs(JobsRequest(limit=2, before=found[-1].job_id if found else None)):
        found += page
    assert sorted(job.symbol for job in found) == sorted(symbols(7))


async def test_a_new_job_does_not_shift_the_next_page(view: RunView) -> None:
    await take(view, *jobs(4))
    first = await view.jobs(JobsRequest(limit=2))
    await take(view, replace(job_record(symbols(1)[0], run_id="full-2"), created_at=BEGIN + MINUTE))
    second = await view.jobs(JobsRequest(limit=2, before=first[-1].job_id))
    assert len({job.job_id for job in first + second}) == 4


async def test_jobs_are_found_by_run_symbol_and_status(view: RunView) -> None:
    one, two = symbols(2)
    await take(
        view,
        job_record(one, Status.SUCCEEDED),
        job_record(two, Status.FAILED),
        job_record(one, Status.FAILED, run_id="full-2"),
    )

    async def found(question: JobsRequest) -> list[str]:
        return sorted(job.job_id for job in await view.jobs(question))

    assert await found(JobsRequest(run_id="full-1")) == ["full-1.S0", "full-1.S1"]
    assert await found(JobsRequest(symbol=one)) == ["full-1.S0", "full-2.S0"]
    assert await found(JobsRequest(status=Status.FAILED)) == ["full-1.S1", "full-2.S0"]
    assert await found(JobsRequest(symbol=one, status=Status.FAILED)) == ["full-2.S0"]
    assert await found(JobsRequest(run_id="full-9")) == []


async def test_one_run_is_found_by_its_id(view: RunView) -> None:
    await take(view, *runs(3))
    (run,) = await view.runs(RunsRequest(run_id="full-1"))
    assert run.run_id == "full-1"


async def test_an_unknown_cursor_gives_an_empty_page(view: RunView) -> None:
    await take(view, *runs(2))
    assert await view.runs(RunsRequest(before="full-9")) == []


async def test_a_newer_record_replaces_an_older_one_and_never_the_reverse(view: RunView) -> None:
    (job,) = jobs(1)
    await take(view, replace(job, status=Status.SUCCEEDED), revision=9)
    await take(view, replace(job, status=Status.RUNNING), revision=8)
    (found,) = await view.jobs(JobsRequest())
    assert found.status is Status.SUCCEEDED
    await take(view, replace(job, status=Status.CANCELLED), revision=10)
    (found,) = await view.jobs(JobsRequest(status=Status.CANCELLED))
    assert found.status is Status.CANCELLED


async def test_unfinished_runs_come_oldest_first(view: RunView) -> None:
    first, ended, last = runs(3)
    await take(
        view,
        replace(last, status=Status.RUNNING),
        replace(ended, status=Status.FAILED),
        first,
    )
    assert [run.run_id for run in await view.unfinished()] == [first.run_id, last.run_id]


async def test_an_attempt_counts_from_the_end_of_the_last_job(view: RunView) -> None:
    one, two, three = symbols(3)
    later = BEGIN + MINUTE
    await take(
        view,
        job_record(one, Status.FAILED, finished_at=later),
        job_record(one, Status.SUCCEEDED, run_id="full-0", finished_at=BEGIN),
        job_record(two, Status.SUCCEEDED, finished_at=BEGIN),
        job_record(three, Status.RUNNING),
    )
    assert await view.attempts() == {one: later, two: BEGIN}


async def test_an_update_and_a_cancelled_job_are_no_attempts_to_train(view: RunView) -> None:
    one, two = symbols(2)
    update = job_record(one, Status.SUCCEEDED, finished_at=BEGIN)
    await take(
        view,
        replace(update, mode=Mode.INCREMENTAL),
        job_record(two, Status.CANCELLED, finished_at=BEGIN),
    )
    assert await view.attempts() == {}
    await take(view, replace(update, mode=Mode.FULL, job_id="x"))
    assert await view.attempts() == {one: BEGIN}


async def test_a_view_is_kept_over_a_restart(tmp_path: Path) -> None:
    async with open_view(tmp_path / "runs.sqlite", SCHEMA) as database:
        await take(RunView(database), *runs(2))
    async with open_view(tmp_path / "runs.sqlite", SCHEMA) as database:
        assert len(await RunView(database).runs(RunsRequest())) == 2


async def test_a_damaged_view_is_made_anew_and_kept_aside(tmp_path: Path) -> None:
    path, damage = tmp_path / "runs.sqlite", b"no database, but as long as one" * 99
    path.write_bytes(damage)
    async with open_view(path, SCHEMA) as database:
        view = RunView(database)
        await take(view, *runs(1))
        assert len(await view.runs(RunsRequest())) == 1
    assert path.with_suffix(".damaged").read_bytes() == damage


@asynccontextmanager
async def following(connection: Connection, view: RunView) -> AsyncIterator[None]:
    async with alongside(follow_runs(connection, view), name="follow"):
        yield


async def test_the_view_follows_the_run_book(connection: Connection, view: RunView) -> None:
    book, run, (job,) = KvRunBook(connection), run_record(), jobs(1)
    await book.keep_run(run)
    async with following(connection, view):
        await book.keep_job(job)
        await book.keep_run(replace(run, status=Status.RUNNING))

        async def followed() -> bool:
            (found,) = await view.runs(RunsRequest()) or [run]
            return found.status is Status.RUNNING and await view.jobs(JobsRequest()) == [job]

        await eventually(followed, within=5)


async def test_the_view_forgets_what_the_run_book_no_longer_has(
    connection: Connection, view: RunView
) -> None:
    book, (expired, kept, other) = KvRunBook(connection), runs(3)
    await take(view, expired, revision=1)
    await take(view, other, revision=10_000)  # of a store that was lost
    await book.keep_run(expired)
    await Bucket(connection, subjects.RUNS).delete(subjects.run_key(expired.run_id))
    await book.keep_run(kept)
    async with following(connection, view):

        async def forgotten() -> bool:
            return [run.run_id for run in await view.runs(RunsRequest())] == [kept.run_id]

        await eventually(forgotten, within=5)


async def test_the_view_of_an_empty_run_book_is_empty(
    connection: Connection, view: RunView
) -> None:
    await take(view, *runs(2), *jobs(2))
    async with following(connection, view):

        async def empty() -> bool:
            return not await view.runs(RunsRequest()) and not await view.jobs(JobsRequest())

        await eventually(empty, within=5)


async def test_readers_and_the_follower_do_not_block_each_other(view: RunView) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for job in jobs(100):
            group.create_task(take(view, job))
            group.create_task(view.jobs(JobsRequest(limit=10)))
    assert len(await view.jobs(JobsRequest(limit=1000))) == 100


async def test_outcomes_count_the_jobs_by_how_they_stand(view: RunView) -> None:
    await take(view, *jobs(3, Status.SUCCEEDED))
    await take(view, job_record(symbols(1)[0], Status.FAILED, run_id="full-2"))
    assert await view.outcomes() == {Status.SUCCEEDED: 3, Status.FAILED: 1}
