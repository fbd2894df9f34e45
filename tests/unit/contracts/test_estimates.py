from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.estimates import seconds_left
from shared.contracts.records import JobRecord
from shared.contracts.terms import Mode, Status
from tests.support.coordination import BEGIN, job_record, symbols

NAMES = symbols(100)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def ended(begun: float, over: float, *, mode: Mode = Mode.FULL, name: int = 0) -> JobRecord:
    job = job_record(NAMES[name], Status.SUCCEEDED)
    return replace(job, mode=mode, started_at=at(begun), finished_at=at(over))


def running(begun: float, *, mode: Mode = Mode.FULL) -> JobRecord:
    return replace(job_record(NAMES[0], Status.RUNNING), mode=mode, started_at=at(begun))


def queued(count: int, *, mode: Mode = Mode.FULL) -> list[JobRecord]:
    return [replace(job_record(name), mode=mode) for name in NAMES[:count]]


def test_there_is_no_estimate_before_a_job_of_its_mode_was_ever_measured() -> None:
    assert seconds_left(queued(3), [], BEGIN) is None
    assert seconds_left(queued(3), [ended(0, 10, mode=Mode.QUICK)], BEGIN) is None


def test_earlier_runs_are_the_measure_until_the_first_job_has_ended() -> None:
    earlier = [ended(-100, -90), ended(-90, -80)]
    assert seconds_left(queued(3), earlier, BEGIN) == 30
    assert seconds_left([ended(0, 20), *queued(3)], earlier, at(20)) == 60


def test_jobs_beside_each_other_share_the_work() -> None:
    pair = [ended(0, 10), ended(0, 10, name=1)]
    assert seconds_left([*pair, *queued(4)], [], at(10)) == 20


def test_time_in_which_nothing_ran_is_not_counted() -> None:
    pairs = [ended(0, 10), ended(0, 10), ended(500, 510), ended(500, 510)]
    assert seconds_left([*pairs, *queued(4)], [], at(510)) == 20


def test_the_last_job_cannot_be_shared() -> None:
    pair = [ended(0, 10), ended(0, 10, name=1)]
    assert seconds_left([*pair, *queued(1)], [], at(10)) == 10


def test_what_a_running_job_has_done_is_not_left() -> None:
    assert seconds_left([ended(0, 10), running(10)], [], at(14)) == 6


def test_a_job_that_takes_longer_than_most_is_measured_by_the_long_ones() -> None:
    jobs = [*(ended(0, 10) for _ in range(9)), ended(0, 100)]
    assert seconds_left([*jobs, running(100)], [], at(120)) == 80


def test_a_job_that_has_outlived_all_others_is_expected_to_begin_anew() -> None:
    assert seconds_left([ended(0, 10), running(10)], [], at(60)) == 10


def test_a_cycle_expects_of_each_mode_its_own_time() -> None:
    jobs = [ended(0, 1, mode=Mode.INCREMENTAL), ended(1, 11)]
    left = [*queued(1), *queued(5, mode=Mode.INCREMENTAL)]
    assert seconds_left([*jobs, *left], [], at(11)) == 15


def test_nothing_is_left_of_a_run_whose_jobs_have_all_ended() -> None:
    assert seconds_left([ended(0, 10)], [], at(10)) == 0


@given(at_once=st.integers(1, 8), rounds=st.integers(1, 12), done=st.integers(1, 12))
def test_jobs_of_the_same_length_are_foretold_exactly(at_once: int, rounds: int, done: int) -> None:
    """`rounds` times `at_once` jobs of ten seconds, of which `done` rounds are over."""
    done = min(done, rounds)
    over: Sequence[JobRecord] = [
        ended(10 * turn, 10 * turn + 10) for turn in range(done) for _ in range(at_once)
    ]
    jobs = [*over, *queued(at_once * (rounds - done))]
    assert seconds_left(jobs, [], at(10 * done)) == pytest.approx(10 * (rounds - done), abs=0.1)
