"""A run as far as its records have come in."""

from datetime import datetime

from shared.contracts.estimates import seconds_left
from shared.contracts.records import JobRecord, RunRecord
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Status


class Progress:
    """Takes records of one run in any order; the newest of each job counts."""

    def __init__(self) -> None:
        self.run: RunRecord | None = None
        self.jobs: dict[Symbol, JobRecord] = {}

    def take(self, record: RunRecord | JobRecord) -> None:
        if isinstance(record, RunRecord):
            self.run = record
        else:
            self.jobs[record.symbol] = record

    @property
    def finished(self) -> bool:
        """Whether the run has ended and every job that it counts is known."""
        run = self.run
        return (
            run is not None
            and run.status.final
            and self.ended >= run.done + run.failed + run.skipped
        )

    @property
    def total(self) -> int:
        return self.run.total if self.run else 0

    @property
    def ended(self) -> int:
        return sum(job.status.final for job in self.jobs.values())

    @property
    def failed(self) -> list[JobRecord]:
        """By symbol."""
        failed = [job for job in self.jobs.values() if job.status is Status.FAILED]
        return sorted(failed, key=lambda job: job.symbol)

    @property
    def refused(self) -> list[JobRecord]:
        """Those whose new model was worse than the live one, which stays; by symbol."""
        refused = [job for job in self.jobs.values() if job.refused]
        return sorted(refused, key=lambda job: job.symbol)

    @property
    def training(self) -> list[Symbol]:
        running = [job.symbol for job in self.jobs.values() if job.status is Status.RUNNING]
        return sorted(running)

    @property
    def batches(self) -> int:
        return self.run.batches if self.run else 0

    @property
    def batch(self) -> int:
        """The first batch with a job that has not ended, counted from 1; the last at the end."""
        if self.run is None:
            return 0
        for place, symbol in enumerate(self.run.symbols):
            job = self.jobs.get(symbol)
            if job is None or not job.status.final:
                return place // self.run.batch_size + 1
        return self.batches

    def eta_s(self, now: datetime) -> float | None:
        """Seconds left; None before the first job has ended."""
        return seconds_left(self.jobs.values(), (), now) if len(self.jobs) == self.total else None
