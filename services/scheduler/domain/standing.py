"""How training stands: coverage of the registry, the run in progress, the share of success."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from shared.contracts.estimates import seconds_left
from shared.contracts.records import (
    Coverage,
    CurrentRun,
    JobRecord,
    ModelRecord,
    RunRecord,
    Universe,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Status


def coverage(
    universe: Universe, models: Mapping[Symbol, ModelRecord], max_age: timedelta, now: datetime
) -> Coverage:
    """Of how many symbols the model is young enough. Updates do not make it younger."""
    ages = [now - models[symbol].trained_at for symbol in universe.symbols if symbol in models]
    fresh = sum(age <= max_age for age in ages)
    return Coverage(
        symbols=len(universe.symbols),
        fresh=fresh,
        stale=len(ages) - fresh,
        missing=len(universe.symbols) - len(ages),
        oldest_age_days=round(max(ages) / timedelta(days=1), 4) if ages else None,
    )


def current_run(
    run: RunRecord, jobs: Sequence[JobRecord], earlier: Sequence[JobRecord], now: datetime
) -> CurrentRun:
    """The run in progress. `earlier` are jobs of runs before it, for an estimate of its time."""
    statuses = [job.status for job in jobs]
    done, failed = statuses.count(Status.SUCCEEDED), statuses.count(Status.FAILED)
    ended = sum(status.final for status in statuses)
    progress = sum(100.0 if job.status.final else job.progress_pct for job in jobs)
    return CurrentRun(
        run_id=run.run_id,
        source=run.source,
        mode=run.mode,
        started_at=run.started_at or run.requested_at,
        total=run.total,
        done=done,
        failed=failed,
        skipped=ended - done - failed,
        progress_pct=round(progress / run.total, 1) if run.total else 100.0,
        eta_s=seconds_left(jobs, earlier, now) if len(jobs) == run.total else None,
        batch=min(ended // run.batch_size + 1, run.batches),
        batches=run.batches,
    )


def success_rate(outcomes: Mapping[Status, int]) -> float | None:
    """Of the jobs that ended with a model or without one, how many with one."""
    done, failed = outcomes.get(Status.SUCCEEDED, 0), outcomes.get(Status.FAILED, 0)
    return round(done / (done + failed), 4) if done + failed else None
