from dataclasses import replace
from datetime import UTC, datetime, timedelta

from evertrain.display import sentence
from evertrain.progress import Progress
from shared.contracts.records import JobRecord, Problem, RunRecord
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Status

START = datetime(2026, 1, 1, tzinfo=UTC)
SYMBOLS = tuple(Symbol(name) for name in ("AAPL", "GOOG", "IBM", "MSFT", "ORCL"))


def a_run(status: Status = Status.RUNNING, *, done: int = 0, failed: int = 0) -> RunRecord:
    return RunRecord(
        run_id="full-1",
        mode=Mode.FULL,
        source=Source.MANUAL,
        status=status,
        symbols=SYMBOLS,
        batch_size=2,
        requested_at=START,
        started_at=None if status is Status.QUEUED else START,
        done=done,
        failed=failed,
    )


def a_job(place: int, status: Status) -> JobRecord:
    return JobRecord(
        job_id=f"full-1.{SYMBOLS[place]}",
        run_id="full-1",
        symbol=SYMBOLS[place],
        mode=Mode.FULL,
        source=Source.MANUAL,
        status=status,
        created_at=START,
        error=Problem(code="crashed", message="it crashed") if status is Status.FAILED else None,
    )


def progress(*records: RunRecord | JobRecord) -> Progress:
    known = Progress()
    for record in records:
        known.take(record)
    return known


def test_the_batch_is_the_first_one_with_a_job_that_has_not_ended() -> None:
    known = progress(a_run(), a_job(0, Status.SUCCEEDED), a_job(1, Status.RUNNING))
    assert (known.batch, known.batches) == (1, 3)
    known.take(a_job(1, Status.FAILED))
    assert known.batch == 2


def test_the_time_left_is_that_of_the_pace_so_far() -> None:
    known = progress(a_run(), *(a_job(place, Status.QUEUED) for place in range(len(SYMBOLS))))
    ended = START + timedelta(seconds=10)
    known.take(replace(a_job(0, Status.SUCCEEDED), started_at=START, finished_at=ended))
    assert known.eta_s(ended) == 10.0 * (len(SYMBOLS) - 1)


def test_before_the_first_job_has_ended_the_time_left_is_unknown() -> None:
    assert progress(a_run(), a_job(0, Status.RUNNING)).eta_s(START) is None


def test_a_run_has_finished_only_when_its_last_job_is_known_too() -> None:
    known = progress(a_run(Status.FAILED, done=1, failed=1), a_job(0, Status.SUCCEEDED))
    assert not known.finished
    known.take(a_job(1, Status.FAILED))
    assert known.finished
    assert [job.symbol for job in known.failed] == ["GOOG"]


def test_jobs_may_come_before_their_run() -> None:
    known = progress(a_job(0, Status.RUNNING))
    assert sentence(known, None) == "waiting for its turn"
    known.take(a_run())
    assert sentence(known, None) == "0 of 5 done, batch 1 of 3, training AAPL"


def test_the_sentence_tells_failures_and_the_time_left() -> None:
    known = progress(a_run(), a_job(0, Status.SUCCEEDED), a_job(1, Status.FAILED))
    assert sentence(known, 95.0) == "2 of 5 done, 1 failed, batch 2 of 3, 1 min 35 s left"


def test_a_run_that_waits_for_the_lock_says_so() -> None:
    assert sentence(progress(a_run(Status.QUEUED)), None) == "waiting for its turn"


def test_a_refused_model_is_no_failure_and_says_why() -> None:
    reason = Problem(code="worse_than_live", message="worse than v1 on 500 candles")
    refused = replace(a_job(1, Status.SUCCEEDED), refused=reason)
    known = progress(a_run(), a_job(0, Status.SUCCEEDED), refused)
    assert known.failed == []
    assert [job.refused for job in known.refused] == [reason]
