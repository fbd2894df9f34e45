"""The schedules in virtual time: what goes in, what came out, and how it is shown."""

import os
import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from evertrain.output import duration, percent, table
from services.scheduler.domain.candidates import Policy
from services.scheduler.domain.configuration import policy, training_schedules
from services.scheduler.domain.simulation import Crew, Sample, SimulatedRun, Simulation
from shared.contracts import codec
from shared.contracts.configuration import Configuration
from shared.contracts.records import JobRecord, Universe
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Status, Timeframe

BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
#: CPU time of a job of 17,000 candles, from docs/performance.md.
JOB_S: Final = 8.0
UPDATE_S: Final = 1.6

_MEASURED: Final = 2000
#: Of the logarithm: most made-up jobs take between four fifths and five fourths of the usual time.
_SPREAD: Final = 0.2
_SAMPLES: Final = 1500
_SHOWN: Final = 12
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTimes:
    """In seconds: those of single jobs where they were `measured`, else the usual one."""

    full: Sequence[float]
    update: Sequence[float]
    measured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    days: int
    symbols: int
    processes: int
    failure_rate: float
    seed: int
    times: JobTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeFigures:
    """The runs of one mode. `locked` were skipped because another run held the training lock, and
    `idle` because nothing was due.
    """

    mode: Mode
    runs: int
    locked: int
    idle: int
    jobs: int
    failed: int
    median_s: float | None
    longest_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Coverage, and the ages of the models in days."""

    at: datetime
    fresh: int
    stale: int
    missing: int
    p50: float | None
    p95: float | None
    oldest: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`oldest_days` is the greatest age that any model had at any time; `cycles_to_cover` are those
    that trained something before every symbol had a model.
    """

    begin: datetime
    days: int
    symbols: int
    max_age_days: float
    modes: tuple[ModeFigures, ...]
    covered_after_s: float | None
    cycles_to_cover: int
    oldest_days: float
    cooldown_violations: int
    training_pct: float
    moments: tuple[Moment, ...]


def job_times(data_dir: Path, full_s: float | None, update_s: float | None) -> JobTimes:
    """What is given; or else what was measured here, if both kinds were; or else what is usual."""
    known = {} if full_s or update_s else _measured(data_dir)
    full, update = known.get(Mode.FULL, []), known.get(Mode.INCREMENTAL, [])
    if full and update:
        return JobTimes(full=full, update=update, measured=True)
    return JobTimes(full=[full_s or JOB_S], update=[update_s or UPDATE_S], measured=False)


def _measured(data_dir: Path) -> dict[Mode, list[float]]:
    """The newest jobs of each mode in the scheduler's view; nothing where there is none."""
    view = data_dir / "scheduler" / "runs.sqlite"
    query = "SELECT record FROM jobs WHERE status = ? ORDER BY created_at DESC LIMIT ?"
    try:
        with closing(sqlite3.connect(f"{view.resolve().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(query, (Status.SUCCEEDED, _MEASURED)).fetchall()
    except sqlite3.Error:
        return {}
    found: dict[Mode, list[float]] = {}
    for (row,) in rows:
        job = codec.decode(row, JobRecord)
        if job.duration_s is not None:
            found.setdefault(job.mode, []).append(job.duration_s)
    return found


def processes() -> int:
    return os.cpu_count() or 1


def simulate(given: Assumptions, configuration: Configuration) -> Outcome:
    symbols = tuple(Symbol(f"S{number}") for number in range(given.symbols))
    simulation = Simulation(
        universe=Universe(symbols=symbols, timeframe=Timeframe.M15, horizons=(1,)),
        policy=policy(configuration),
        crew=Crew(
            processes=given.processes,
            batch_size=configuration.train_batch_size,
            work=_work(given),
        ),
    )
    length = timedelta(days=given.days)
    every = max(timedelta(hours=1), length / _SAMPLES)
    schedules = training_schedules(configuration)
    samples = list(simulation.pass_time(schedules, BEGIN, BEGIN + length, every))
    return _outcome(simulation, samples, length)


def _work(given: Assumptions) -> Callable[[Mode], tuple[float, bool]]:
    drawn = random.Random(given.seed)  # noqa: S311 - a simulation is to be repeatable

    def work(mode: Mode) -> tuple[float, bool]:
        times = given.times
        seconds = drawn.choice(times.update if mode is Mode.INCREMENTAL else times.full)
        if not times.measured:
            seconds *= drawn.lognormvariate(0.0, _SPREAD)
        return seconds, drawn.random() >= given.failure_rate

    return work


def _outcome(simulation: Simulation, samples: Sequence[Sample], length: timedelta) -> Outcome:
    covered_at, runs = simulation.covered_at, simulation.runs
    to_cover = [
        run
        for run in runs
        if run.mode is Mode.CYCLE and run.jobs and not (covered_at and run.started_at > covered_at)
    ]
    busy = sum((run.ended_at - run.started_at for run in runs), timedelta(0))
    return Outcome(
        begin=BEGIN,
        days=length // _DAY,
        symbols=len(simulation.universe.symbols),
        max_age_days=simulation.policy.max_age / _DAY,
        modes=tuple(_figures(mode, runs) for mode in Mode if mode is not Mode.QUICK),
        covered_after_s=(covered_at - BEGIN).total_seconds() if covered_at else None,
        cycles_to_cover=len(to_cover),
        oldest_days=simulation.oldest / _DAY,
        cooldown_violations=simulation.hasty,
        training_pct=100 * busy / length,
        moments=tuple(_moment(sample, simulation.policy) for sample in samples),
    )


def _figures(mode: Mode, runs: Sequence[SimulatedRun]) -> ModeFigures:
    mine = [run for run in runs if run.mode is mode]
    trained = [run for run in mine if run.jobs]
    seconds = [(run.ended_at - run.started_at).total_seconds() for run in trained]
    return ModeFigures(
        mode=mode,
        runs=len(trained),
        locked=sum(run.locked for run in mine),
        idle=sum(not run.jobs and not run.locked for run in mine),
        jobs=sum(run.jobs for run in mine),
        failed=sum(run.failed for run in mine),
        median_s=median(seconds) if seconds else None,
        longest_s=max(seconds, default=None),
    )


def _moment(sample: Sample, rules: Policy) -> Moment:
    stale = sum(age > rules.max_age / _DAY for age in sample.ages)
    return Moment(
        at=sample.at,
        fresh=len(sample.ages) - stale,
        stale=stale,
        missing=sample.missing,
        p50=_quantile(sample.ages, 0.5),
        p95=_quantile(sample.ages, 0.95),
        oldest=sample.ages[-1] if sample.ages else None,
    )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[round(share * (len(ordered) - 1))] if ordered else None


def show(given: Assumptions, outcome: Outcome, out: Console) -> None:
    times, source = given.times, "measured here" if given.times.measured else "assumed"
    out.print(
        f"{outcome.symbols} symbols, none with a model, {outcome.days} days from "
        f"{outcome.begin:%Y-%m-%d}, {given.processes} jobs at once, seed {given.seed}"
    )
    out.print(
        f"a full job {median(times.full):.2f} s, an update {median(times.update):.2f} s, "
        f"{source}; {percent(100 * given.failure_rate)} of the jobs fail"
    )
    out.print(_runs_table(outcome))
    out.print(_moments_table(outcome))
    covered = "not every symbol ever had a model"
    if outcome.covered_after_s is not None:
        after = duration(outcome.covered_after_s)
        covered = f"every symbol had a model after {after} and {outcome.cycles_to_cover} cycles"
    out.print(
        f"{covered}; the oldest model ever was {outcome.oldest_days:.3f} days old, "
        f"{outcome.max_age_days:g} are allowed"
    )
    out.print(
        f"cooldown violated {outcome.cooldown_violations} times; "
        f"training took {percent(outcome.training_pct)} of the time"
    )


def _runs_table(outcome: Outcome) -> Table:
    columns = ("Mode", "Runs", "Locked out", "Nothing due", "Jobs", "Failed", "Median", "Longest")
    rows = (
        (
            one.mode,
            *(one.runs, one.locked, one.idle, one.jobs, one.failed),
            *map(duration, (one.median_s, one.longest_s)),
        )
        for one in outcome.modes
    )
    return table(*columns, rows=rows, numbers=columns[1:])


def _moments_table(outcome: Outcome) -> Table:
    columns = ("At", "Fresh", "Stale", "Missing", "Age p50", "p95", "oldest, days")
    rows = (
        (
            f"{one.at:%Y-%m-%d %H:%M}",
            *(one.fresh, one.stale, one.missing),
            *(age and f"{age:.2f}" for age in (one.p50, one.p95, one.oldest)),
        )
        for one in outcome.moments[:: max(len(outcome.moments) // _SHOWN, 1)]
    )
    return table(*columns, rows=rows, numbers=columns[1:])
