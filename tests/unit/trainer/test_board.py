from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.trainer.domain.board import Board, tally
from shared.contracts.terms import Status
from tests.support.coordination import BEGIN, job_record, run_record, symbols

ENDS = [Status.SUCCEEDED, Status.FAILED, Status.SKIPPED, Status.CANCELLED]
MINUTE = timedelta(minutes=1)


def board(*, count: int, ended: int = 0, batch_size: int = 25) -> Board:
    """The board of a run whose first `ended` jobs ended before this coordinator came."""
    run = replace(run_record(count=count), batch_size=batch_size)
    jobs = [
        job_record(symbol, Status.SUCCEEDED if number < ended else Status.QUEUED)
        for number, symbol in enumerate(run.symbols)
    ]
    return Board(run, jobs)


def test_a_run_is_cut_into_batches_of_its_size_and_a_rest() -> None:
    assert [len(batch) for batch in board(count=60).batches] == [25, 25, 10]


def test_a_batch_has_ended_when_each_of_its_jobs_has() -> None:
    two = board(count=2)
    assert not two.ended(symbols(2))
    two.take(job_record(symbols(2)[0], Status.SUCCEEDED))
    assert not two.ended(symbols(2))
    two.take(job_record(symbols(2)[1], Status.FAILED))
    assert two.ended(symbols(2))


def test_a_job_ends_once() -> None:
    (symbol,) = symbols(1)
    one = board(count=1)
    assert not one.take(job_record(symbol, Status.RUNNING))
    assert one.take(job_record(symbol, Status.FAILED))
    assert not one.take(job_record(symbol, Status.SUCCEEDED))
    assert one.count.failed == 1


def test_an_old_state_does_not_wake_a_job_that_has_ended() -> None:
    (symbol,) = symbols(1)
    one = board(count=1)
    one.take(job_record(symbol, Status.SUCCEEDED))
    one.take(job_record(symbol, Status.RUNNING))
    assert one.ended([symbol])


def test_a_job_of_a_symbol_outside_the_run_changes_nothing() -> None:
    one = board(count=1)
    assert not one.take(job_record(symbols(2)[1], Status.SUCCEEDED))
    assert one.count.total == 1


def test_a_cancelled_job_counts_as_skipped() -> None:
    count = tally([job_record(symbols(1)[0], Status.CANCELLED)])
    assert (count.done, count.failed, count.skipped) == (0, 0, 1)


def test_progress_names_the_batch_and_the_share_that_ended() -> None:
    three = board(count=3, batch_size=2)
    three.take(job_record(symbols(3)[0], Status.SUCCEEDED))
    told = three.progress(three.batches[0], BEGIN + MINUTE)
    assert (told.batch, told.batches) == (1, 2)
    assert (told.done, told.failed, told.skipped, told.total) == (1, 0, 0, 3)
    assert told.progress_pct == 33.3


def test_progress_estimates_the_rest_by_the_jobs_that_have_ended() -> None:
    three = board(count=3)
    ended = job_record(symbols(3)[0], Status.SUCCEEDED, finished_at=BEGIN + MINUTE)
    three.take(replace(ended, started_at=BEGIN))
    assert three.progress(three.batches[0], BEGIN + MINUTE).eta_s == 120


def test_the_same_progress_is_the_same_event_whoever_tells_it() -> None:
    first, second = board(count=3), board(count=3, ended=1)
    first.take(job_record(symbols(3)[0], Status.SUCCEEDED))
    told = [b.progress(b.batches[0], BEGIN + MINUTE).id for b in (first, second)]
    assert told[0] == told[1]


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(list(Status)))))
def test_the_count_of_ended_jobs_only_grows_and_never_exceeds_the_total(
    changes: list[tuple[int, Status]],
) -> None:
    ten = board(count=10)
    before = 0
    for number, status in changes:
        news = ten.take(job_record(symbols(10)[number], status))
        assert ten.count.ended == before + news <= 10
        before = ten.count.ended
    assert before == len({number for number, status in changes if status in ENDS})
