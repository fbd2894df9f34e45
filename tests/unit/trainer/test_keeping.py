from dataclasses import replace

import pytest

from services.trainer.domain.keeping import kept_job, kept_run
from shared.contracts.terms import Status
from tests.support.coordination import BEGIN, job_record, run_record, symbols

ENDS = [status for status in Status if status.final]
RUN, JOB = run_record(), job_record(symbols(1)[0])


def test_what_is_written_first_is_kept() -> None:
    assert (kept_run(None, RUN), kept_job(None, JOB)) == (RUN, JOB)


def test_the_owner_moves_its_record_on() -> None:
    assert kept_run(RUN, replace(RUN, status=Status.RUNNING)).status is Status.RUNNING
    assert kept_job(JOB, replace(JOB, status=Status.RUNNING)).status is Status.RUNNING


@pytest.mark.parametrize("end", ENDS)
def test_a_zombie_cannot_change_what_has_ended(end: Status) -> None:
    for late in Status:
        assert kept_run(replace(RUN, status=end), replace(RUN, status=late)).status is end
        assert kept_job(replace(JOB, status=end), replace(JOB, status=late)).status is end


def test_a_cancellation_that_comes_between_two_writes_of_the_owner_is_not_lost() -> None:
    asked_for = replace(RUN, cancel_requested_at=BEGIN)
    kept = kept_run(asked_for, replace(RUN, status=Status.RUNNING))
    assert (kept.status, kept.cancel_requested_at) == (Status.RUNNING, BEGIN)
