from dataclasses import replace
from datetime import timedelta

from services.scheduler.domain.standing import coverage, current_run, success_rate
from shared.contracts.records import Universe
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Status, Timeframe
from tests.support.coordination import BEGIN, job_record, model_record, run_record, symbols

DAY = timedelta(days=1)
WEEK = timedelta(days=7)


def test_coverage_counts_each_symbol_of_the_universe_once() -> None:
    universe = Universe(symbols=symbols(4), timeframe=Timeframe.D1, horizons=(1,))
    fresh, old, older, _ = symbols(4)
    models = {
        fresh: model_record(fresh, created_at=BEGIN - WEEK),
        old: model_record(old, created_at=BEGIN - WEEK - timedelta(seconds=1)),
        older: model_record(older, created_at=BEGIN - 30 * DAY),
    }
    found = coverage(universe, models, WEEK, BEGIN)
    assert (found.symbols, found.fresh, found.stale, found.missing) == (4, 1, 2, 1)
    assert found.oldest_age_days == 30


def test_a_model_that_was_only_updated_is_as_old_as_the_full_one_that_it_comes_from() -> None:
    (symbol,) = symbols(1)
    universe = Universe(symbols=(symbol,), timeframe=Timeframe.D1, horizons=(1,))
    model = replace(model_record(symbol), base_at=BEGIN - 2 * WEEK)
    found = coverage(universe, {symbol: model}, WEEK, BEGIN)
    assert (found.fresh, found.stale, found.oldest_age_days) == (0, 1, 14)


def test_a_model_of_a_symbol_that_left_the_universe_covers_nothing() -> None:
    universe = Universe(symbols=symbols(1), timeframe=Timeframe.D1, horizons=(1,))
    gone = symbols(2)[1]
    found = coverage(universe, {gone: model_record(gone)}, WEEK, BEGIN)
    assert (found.fresh, found.stale, found.missing, found.oldest_age_days) == (0, 0, 1, None)


def test_a_run_in_progress_is_counted_from_its_jobs() -> None:
    run = replace(run_record(count=6), status=Status.RUNNING, started_at=BEGIN, batch_size=2)
    statuses = [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.RUNNING]
    jobs = [job_record(s, status) for s, status in zip(symbols(4), statuses, strict=True)]
    now = current_run(run, jobs, [], BEGIN + timedelta(minutes=3))
    assert (now.total, now.done, now.failed, now.skipped) == (6, 1, 1, 1)
    assert (now.progress_pct, now.batch, now.batches) == (50.0, 2, 3)


def test_what_a_running_job_has_done_is_progress_of_its_run() -> None:
    run = replace(run_record(count=2), status=Status.RUNNING, started_at=BEGIN)
    running, queued = (job_record(symbol) for symbol in symbols(2))
    jobs = [replace(running, status=Status.RUNNING, progress_pct=50.0), queued]
    assert current_run(run, jobs, [], BEGIN).progress_pct == 25.0


def test_a_run_is_estimated_by_the_jobs_of_earlier_ones_until_its_first_has_ended() -> None:
    run = replace(run_record(count=2), started_at=BEGIN)
    jobs = [job_record(symbol) for symbol in run.symbols]
    minute = timedelta(minutes=1)
    earlier = replace(
        job_record(Symbol("X"), Status.SUCCEEDED), started_at=BEGIN - minute, finished_at=BEGIN
    )
    assert current_run(run, jobs, [earlier], BEGIN).eta_s == 120
    assert current_run(run, jobs, [], BEGIN).eta_s is None


def test_a_run_is_not_estimated_before_all_its_jobs_are_known() -> None:
    run = replace(run_record(count=2), started_at=BEGIN)
    assert current_run(run, [], [], BEGIN + timedelta(hours=1)).eta_s is None


def test_a_run_whose_jobs_have_all_ended_is_in_its_last_batch() -> None:
    run = replace(run_record(count=2), started_at=BEGIN, batch_size=1)
    jobs = [job_record(symbol, Status.SUCCEEDED) for symbol in symbols(2)]
    now = current_run(run, jobs, [], BEGIN + timedelta(minutes=1))
    assert (now.batch, now.progress_pct, now.eta_s) == (2, 100.0, 0)


def test_the_share_of_success_is_of_the_jobs_that_were_decided() -> None:
    outcomes = {Status.SUCCEEDED: 2, Status.FAILED: 1, Status.RUNNING: 1, Status.CANCELLED: 1}
    assert success_rate(outcomes) == 0.6667


def test_without_a_decided_job_the_share_of_success_is_unknown() -> None:
    assert success_rate({Status.RUNNING: 1}) is None
