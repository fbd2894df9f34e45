"""Where a run stands, from the records of its jobs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.contracts.estimates import seconds_left
from shared.contracts.events import RunProgressed
from shared.contracts.records import JobRecord, RunRecord
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counts of jobs that ended, of `total`."""

    total: int
    done: int
    failed: int
    skipped: int

    @property
    def ended(self) -> int:
        return self.done + self.failed + self.skipped

    @property
    def progress_pct(self) -> float:
        return round(100 * self.ended / self.total, 1) if self.total else 100.0


def tally(jobs: Iterable[JobRecord]) -> Tally:
    """Count the jobs; one that was cancelled counts as skipped."""
    statuses = [job.status for job in jobs]
    done, failed = statuses.count(Status.SUCCEEDED), statuses.count(Status.FAILED)
    skipped = sum(status.final for status in statuses) - done - failed
    return Tally(total=len(statuses), done=done, failed=failed, skipped=skipped)


class Board:
    """The jobs of one run as far as its coordinator knows them."""

    def __init__(self, run: RunRecord, jobs: Iterable[JobRecord]) -> None:
        self.run = run
        self.jobs = {job.symbol: job for job in jobs}
        self.batches = [
            run.symbols[start : start + run.batch_size]
            for start in range(0, run.total, run.batch_size)
        ]

    @property
    def count(self) -> Tally:
        return tally(self.jobs.values())

    def ended(self, symbols: Iterable[Symbol]) -> bool:
        """Whether none of these symbols has a job that may still run."""
        return all(self.jobs[symbol].status.final for symbol in symbols)

    def take(self, job: JobRecord) -> bool:
        """Note the state of a job; whether it has ended just now. Old states change nothing."""
        known = self.jobs.get(job.symbol)
        if known is None or known.status.final:
            return False
        self.jobs[job.symbol] = job
        return job.status.final

    def progress(self, batch: Sequence[Symbol], now: datetime) -> RunProgressed:
        run, count = self.run, self.count
        return RunProgressed(
            id=f"run.progressed:{run.run_id}:{count.ended}",
            at=now,
            run_id=run.run_id,
            mode=run.mode,
            source=run.source,
            total=count.total,
            done=count.done,
            failed=count.failed,
            skipped=count.skipped,
            batch=self.batches.index(tuple(batch)) + 1,
            batches=len(self.batches),
            progress_pct=count.progress_pct,
            eta_s=seconds_left(self.jobs.values(), (), now),
        )
