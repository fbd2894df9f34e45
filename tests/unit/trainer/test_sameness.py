from dataclasses import replace
from datetime import timedelta

import pytest

from services.trainer.domain.sameness import same_run
from shared.contracts.records import Problem, RunRecord
from shared.contracts.terms import Mode, Source, Status
from tests.support.coordination import BEGIN, run_record, symbols

SECOND = timedelta(seconds=1)
#: A crontab's run that waits; and one that somebody asked for before, and that waited as well.
RUN = replace(run_record(run_id="crontab", count=3), source=Source.CRONTAB)
LIKE = replace(
    run_record(run_id="manual", count=3), status=Status.RUNNING, started_at=BEGIN + SECOND
)


@pytest.mark.parametrize("status", [Status.RUNNING, Status.SUCCEEDED, Status.FAILED])
def test_a_run_that_began_after_the_request_has_done_its_work(status: Status) -> None:
    like = replace(LIKE, status=status)
    assert same_run(RUN, [RUN, like]) == like


def test_a_run_over_more_symbols_has_done_it_as_well() -> None:
    assert same_run(replace(RUN, symbols=symbols(2)), [LIKE]) == LIKE


@pytest.mark.parametrize(
    "other",
    [
        replace(LIKE, started_at=BEGIN - SECOND),
        replace(LIKE, started_at=None, status=Status.QUEUED),
        replace(LIKE, mode=Mode.QUICK),
        replace(LIKE, symbols=symbols(2)),
        replace(LIKE, status=Status.CANCELLED),
        replace(LIKE, status=Status.FAILED, error=Problem(code="x", message="went wrong")),
    ],
    ids=["had begun", "waits", "other mode", "fewer symbols", "cancelled", "failed as a whole"],
)
def test_any_other_run_is_another_run(other: RunRecord) -> None:
    assert same_run(RUN, [other]) is None
