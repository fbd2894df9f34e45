from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.domain.cadence import Schedule, every_minutes
from services.scheduler.domain.candidates import Policy
from services.scheduler.domain.simulation import Crew, Sample, Simulation
from shared.contracts.records import Universe
from shared.contracts.terms import Mode, Timeframe
from tests.support.coordination import symbols

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
THURSDAY = datetime(2026, 1, 1, tzinfo=UTC)
CYCLE = every_minutes(Mode.CYCLE, 15)
UPDATES = Schedule(name=Mode.INCREMENTAL, cron="0 */6 * * *")
FULL = Schedule(name=Mode.FULL, cron="0 2 * * 0")


class World:
    """A simulation whose jobs take the same time each; every `nth` one fails."""

    def __init__(
        self,
        count: int,
        *,
        per_cycle: int = 50,
        max_age: timedelta = 7 * DAY,
        cooldown: timedelta = 6 * HOUR,
        seconds: float = 8.0,
        nth: int = 0,
    ) -> None:
        self._worked, self._seconds, self._nth = 0, seconds, nth
        self.simulation = Simulation(
            universe=Universe(symbols=symbols(count), timeframe=Timeframe.M15, horizons=(1,)),
            policy=Policy(per_cycle=per_cycle, max_age=max_age, cooldown=cooldown),
            crew=Crew(processes=2, batch_size=25, work=self._work),
        )

    def _work(self, mode: Mode) -> tuple[float, bool]:
        self._worked += 1
        seconds = self._seconds / 5 if mode is Mode.INCREMENTAL else self._seconds
        return seconds, not self._nth or self._worked % self._nth > 0

    def live(self, length: timedelta, *schedules: Schedule) -> list[Sample]:
        return list(self.simulation.pass_time(schedules, THURSDAY, THURSDAY + length, DAY))

    def dues(self, mode: Mode) -> list[datetime]:
        return [run.due for run in self.simulation.runs if run.mode is mode and run.jobs]


def test_545_symbols_without_a_model_are_covered_in_11_cycles_and_then_left_alone() -> None:
    world = World(545)
    *_, last = world.live(DAY, CYCLE)
    assert len(world.dues(Mode.CYCLE)) == 11
    assert (last.missing, len(last.ages)) == (0, 545)
    assert world.simulation.covered_at is not None
    assert world.simulation.covered_at - THURSDAY < 11 * 15 * MINUTE


def test_over_a_year_no_model_gets_older_than_a_week_and_one_cycle() -> None:
    world = World(60, seconds=60)
    world.live(365 * DAY, CYCLE, UPDATES, FULL)
    assert 7 * DAY <= world.simulation.oldest <= 7 * DAY + 15 * MINUTE
    sunday = datetime(2026, 1, 4, 2, tzinfo=UTC)
    assert world.dues(Mode.FULL) == [sunday + week * 7 * DAY for week in range(52)]
    assert len(world.dues(Mode.INCREMENTAL)) == 4 * 365


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 12),
    max_age=st.integers(1, 5),
    cooldown=st.integers(0, 12),
    seconds=st.integers(1, 60),
    schedules=st.sets(st.sampled_from([UPDATES, FULL])),
)
def test_while_capacity_suffices_no_model_outlives_its_age_by_more_than_a_cycle_and_a_run(
    count: int, max_age: int, cooldown: int, seconds: int, schedules: set[Schedule]
) -> None:
    world = World(count, max_age=max_age * DAY, cooldown=cooldown * HOUR, seconds=seconds)
    world.live(10 * DAY, CYCLE, *schedules)
    longest = max(run.ended_at - run.started_at for run in world.simulation.runs)
    assert world.simulation.oldest <= max_age * DAY + 15 * MINUTE + 2 * longest


@settings(max_examples=25, deadline=None)
@given(nth=st.integers(1, 5), cooldown=st.integers(1, 24), per_cycle=st.integers(1, 20))
def test_however_often_jobs_fail_no_cycle_tries_a_symbol_within_its_cooldown(
    nth: int, cooldown: int, per_cycle: int
) -> None:
    world = World(10, nth=nth, cooldown=cooldown * HOUR, per_cycle=per_cycle)
    world.live(5 * DAY, CYCLE, UPDATES, FULL)
    assert world.simulation.hasty == 0
    assert world.simulation.runs


def test_a_cycle_is_locked_out_while_a_long_run_trains() -> None:
    world = World(100, seconds=60)
    world.live(DAY, every_minutes(Mode.CYCLE, 5), Schedule(name=Mode.FULL, cron="0 2 * * *"))
    (full,) = [run for run in world.simulation.runs if run.mode is Mode.FULL]
    locked = [run.due for run in world.simulation.runs if run.locked]
    assert full.ended_at - full.started_at == 52 * MINUTE  # of 25, one process has 13
    assert [due for due in locked if due > full.due] == [
        full.due + n * 5 * MINUTE for n in range(1, 11)
    ]


def test_what_is_due_while_another_run_trains_waits_its_turn() -> None:
    world = World(30, seconds=60)
    at_one, at_five_past = (Schedule(name=Mode.FULL, cron=f"{minute} 1 * * *") for minute in (0, 5))
    world.live(DAY, at_one, at_five_past)
    first, second = world.simulation.runs
    assert second.started_at == first.ended_at > second.due


@pytest.mark.parametrize(("one_in", "count"), [(1, 96), (4, 24), (96, 1)])
def test_one_in_so_many_cycles_trains(one_in: int, count: int) -> None:
    world = World(1, nth=1, cooldown=timedelta(0))
    world.live(DAY, every_minutes(Mode.CYCLE, 15, one_in=one_in))
    assert len(world.dues(Mode.CYCLE)) == count
