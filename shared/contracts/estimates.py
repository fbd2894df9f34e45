"""How long a run still takes, from what was measured of its jobs and of earlier ones."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from statistics import fmean

from shared.contracts.records import JobRecord
from shared.contracts.terms import Mode


def seconds_left(
    jobs: Collection[JobRecord], earlier: Iterable[JobRecord], now: datetime
) -> float | None:
    """The work that is left in a run, shared by as many jobs at once as there were until now.

    A job is expected to take as long as those of its mode in this run or, where none has ended
    yet, in `earlier` ones; one that is running, as much longer as those did that took at least as
    long as it has taken already. One that has outlived them all has probably lost its worker, and
    is expected to begin anew. None where no job of such a mode has ended.
    """
    earlier = list(earlier)
    measured = _durations(earlier) | _durations(jobs)
    whole = {mode: fmean(durations) for mode, durations in measured.items()}
    left = []
    for job in jobs:
        if not job.status.final:
            if job.mode not in measured:
                return None
            left.append(
                _remaining(measured[job.mode], (now - job.started_at).total_seconds())
                if job.started_at
                else whole[job.mode]
            )
    at_once = _at_once(jobs, now) or _at_once(earlier, now) or 1.0
    return round(max(sum(left) / at_once, max(left, default=0.0)), 1)


def _durations(jobs: Iterable[JobRecord]) -> dict[Mode, list[float]]:
    """Of the jobs that have ended."""
    durations: dict[Mode, list[float]] = {}
    for job in jobs:
        if job.duration_s is not None:
            durations.setdefault(job.mode, []).append(job.duration_s)
    return durations


def _remaining(durations: Sequence[float], age_s: float) -> float:
    """The mean of what is left of those that take longer than `age_s`; else of all, from now."""
    return fmean([duration - age_s for duration in durations if duration > age_s] or durations)


def _at_once(jobs: Iterable[JobRecord], now: datetime) -> float | None:
    """How many jobs ran beside each other, on average over the time in which any ran."""
    busy = wall = 0.0
    last = None
    for begun, ended in sorted(
        (job.started_at, job.finished_at or now) for job in jobs if job.started_at is not None
    ):
        busy += (ended - begun).total_seconds()
        if last is None or ended > last:
            wall += (ended - (begun if last is None else max(begun, last))).total_seconds()
            last = ended
    return busy / wall if wall > 0 else None
