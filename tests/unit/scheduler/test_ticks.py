from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from heapq import merge
from zoneinfo import ZoneInfo

import pytest

from services.scheduler.domain.cadence import (
    REVIEW,
    InForce,
    Schedule,
    every_minutes,
    pregeneration,
    review,
)
from services.scheduler.ticks import Action, Regeneration, Ticks, pregenerating, training
from shared.contracts.errors import Conflict, Unavailable
from shared.contracts.events import RunCompleted
from shared.contracts.records import TickRecord
from shared.contracts.requests import TrainRequest
from shared.contracts.terms import Mode, Source
from tests.support.coordination import BEGIN
from tests.support.ticking import MemoryLedger, wake_ups

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CYCLE = every_minutes("cycle", 15)
#: Every schedule has been in force for long.
EVER = datetime(2020, 1, 1, tzinfo=UTC)
#: The months in which clocks change; a year of reviews would take the test too long.
CHANGING = {3, 4, 10, 11}


class Scheduler:
    """One of the schedulers of a ledger, its clock, and the instants that it acted on."""

    def __init__(
        self, *schedules: Schedule, ledger: MemoryLedger | None = None, since: datetime = EVER
    ) -> None:
        self.now = BEGIN
        self.acted: list[tuple[str, datetime]] = []
        self.ledger = ledger or MemoryLedger()
        self.late: list[timedelta] = []
        #: What happens when it wants to act.
        self.meanwhile: Callable[[], None] = lambda: None
        actions = {one.name: self._action(one.name) for one in schedules}
        self.ticks = Ticks(self.ledger, actions, lambda: self.now)
        self.ticks.obey(tuple(InForce(schedule=one, since=since) for one in schedules))

    def _action(self, name: str) -> Action:
        async def act(due: datetime) -> None:
            self.meanwhile()
            self.acted.append((name, due))
            self.late.append(self.now - due)

        return act

    async def tick(self, name: str, at: datetime) -> None:
        self.now = at
        await self.ticks.on_tick(name, at)


def away() -> None:
    raise Unavailable("NATS does not answer")


async def test_a_tick_is_acted_on_by_the_instant_that_was_due() -> None:
    scheduler = Scheduler(CYCLE)
    await scheduler.tick("cycle", BEGIN + timedelta(milliseconds=4))
    assert scheduler.acted == [("cycle", BEGIN)]


async def test_a_tick_that_comes_twice_is_acted_on_once() -> None:
    scheduler = Scheduler(CYCLE)
    await scheduler.tick("cycle", BEGIN)
    await scheduler.tick("cycle", BEGIN + MINUTE)
    await scheduler.tick("cycle", BEGIN + 15 * MINUTE)
    assert scheduler.acted == [("cycle", BEGIN), ("cycle", BEGIN + 15 * MINUTE)]


async def test_a_tick_that_another_scheduler_acted_on_is_left_alone() -> None:
    first = Scheduler(CYCLE)
    second = Scheduler(CYCLE, ledger=first.ledger)
    await first.tick("cycle", BEGIN)
    await second.tick("cycle", BEGIN)
    assert second.acted == []


async def test_a_scheduler_that_dies_between_ledger_and_request_leaves_no_hole() -> None:
    dying = Scheduler(CYCLE)
    dying.meanwhile = away
    with pytest.raises(Unavailable):
        await dying.tick("cycle", BEGIN)
    assert dying.ledger.records["cycle", BEGIN].done_at is None
    heir = Scheduler(CYCLE, ledger=dying.ledger)
    await heir.tick("cycle", BEGIN)
    assert heir.acted == [("cycle", BEGIN)]


async def test_of_two_who_note_the_same_tick_the_slower_finds_it_done() -> None:
    quick = Scheduler(CYCLE)

    class Overtaken(MemoryLedger):
        async def note(self, tick: TickRecord) -> None:
            await quick.tick("cycle", BEGIN)
            self.records = quick.ledger.records
            raise Conflict("noted already")

    slow = Scheduler(CYCLE, ledger=Overtaken())
    await slow.tick("cycle", BEGIN)
    assert quick.acted == [("cycle", BEGIN)]
    assert slow.acted == []


async def test_a_review_acts_on_what_was_due_and_lost_once_for_each_schedule() -> None:
    often, daily = CYCLE, Schedule(name="full", cron="0 9 * * *")
    scheduler = Scheduler(often, daily)
    scheduler.now = BEGIN + MINUTE
    for _ in range(3):
        await scheduler.ticks.review()
    assert scheduler.acted == [("cycle", BEGIN), ("full", BEGIN - 3 * HOUR)]


async def test_a_review_comes_with_its_own_tick() -> None:
    scheduler = Scheduler(CYCLE)
    await scheduler.tick(REVIEW, BEGIN)
    assert scheduler.acted == [("cycle", BEGIN)]


async def test_a_review_by_a_clock_that_is_behind_goes_by_that_of_jetstream() -> None:
    scheduler = Scheduler(CYCLE)
    scheduler.now = BEGIN - timedelta(milliseconds=5)
    await scheduler.ticks.on_tick(REVIEW, BEGIN)
    assert scheduler.acted == [("cycle", BEGIN)]


async def test_after_a_downtime_a_schedule_catches_up_with_one_run() -> None:
    scheduler = Scheduler(Schedule(name="incremental", cron="0 */6 * * *"))
    await scheduler.tick("incremental", BEGIN - 2 * DAY)
    await scheduler.tick(REVIEW, BEGIN + HOUR)
    assert scheduler.acted[1:] == [("incremental", BEGIN)]
    assert scheduler.ledger.records["incremental", BEGIN].missed == 7


async def test_what_is_too_old_is_not_caught_up_but_counted_with_the_next() -> None:
    scheduler = Scheduler(Schedule(name="full", cron="0 0 * * *"))
    midnight = BEGIN - 12 * HOUR
    await scheduler.tick("full", midnight - DAY)
    await scheduler.tick(REVIEW, midnight + 12 * HOUR + MINUTE)
    assert scheduler.acted == [("full", midnight - DAY)]
    await scheduler.tick("full", midnight + DAY)
    assert scheduler.ledger.records["full", midnight + DAY].missed == 1


async def test_what_was_missed_is_told_once_however_often_it_is_looked_at(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scheduler = Scheduler(Schedule(name="full", cron="0 0 * * *"))
    for minutes in (0, 15, 30):
        await scheduler.tick(REVIEW, BEGIN + HOUR + minutes * MINUTE)
    assert [record.message for record in caplog.records] == ["tick missed"]
    assert not scheduler.acted


async def test_what_was_missed_is_counted_no_further_than_the_ledger_remembers() -> None:
    scheduler = Scheduler(CYCLE, Schedule(name="full", cron="0 12 * * *"))
    await scheduler.tick("full", BEGIN)
    assert scheduler.ledger.records["full", BEGIN].missed == 28
    await scheduler.tick("cycle", BEGIN)
    assert scheduler.ledger.records["cycle", BEGIN].missed == 1000


async def test_what_was_due_before_a_schedule_was_in_force_is_not_caught_up() -> None:
    scheduler = Scheduler(CYCLE, since=BEGIN + MINUTE)
    await scheduler.tick(REVIEW, BEGIN + 2 * MINUTE)
    assert scheduler.acted == []
    await scheduler.tick("cycle", BEGIN + 15 * MINUTE)
    assert scheduler.ledger.records["cycle", BEGIN + 15 * MINUTE].missed == 0


async def test_a_tick_of_a_schedule_that_has_ended_means_nothing() -> None:
    scheduler = Scheduler(CYCLE)
    scheduler.ticks.obey(())
    await scheduler.tick("cycle", BEGIN)
    await scheduler.tick(REVIEW, BEGIN)
    assert scheduler.acted == []


async def test_every_scheduler_trains_in_the_same_one_of_four_cycles() -> None:
    ledger = MemoryLedger()
    fourth = every_minutes("cycle", 15, one_in=4)
    pair = [Scheduler(fourth, ledger=ledger) for _ in range(2)]
    for number in range(96):
        await pair[number % 2].tick("cycle", BEGIN + number * 15 * MINUTE)
    dues = sorted(due for scheduler in pair for _, due in scheduler.acted)
    assert len(dues) == 24
    assert {due.minute for due in dues} == {0}


async def test_predictions_are_made_before_the_full_run_that_is_caught_up_with_them() -> None:
    full = Schedule(name="full", cron="0 2 * * 6")
    scheduler = Scheduler(pregeneration(full), full)
    scheduler.now = datetime(2026, 11, 21, 9, tzinfo=UTC)
    await scheduler.ticks.review()
    assert [name for name, _ in scheduler.acted] == ["pregeneration", "full"]


@pytest.mark.parametrize("mode", [Mode.CYCLE, Mode.INCREMENTAL, Mode.FULL])
async def test_a_run_is_named_by_its_mode_and_instant(mode: Mode) -> None:
    asked: list[tuple[Mode, TrainRequest]] = []

    class Requests:
        async def request(self, mode: Mode, request: TrainRequest) -> None:
            asked.append((mode, request))

    await training(mode, Requests())(BEGIN)
    source = Source.AUTOMATION if mode is Mode.CYCLE else Source.CRONTAB
    request = TrainRequest(source=source, request_id=f"{mode}-20261120T120000Z")
    assert asked == [(mode, request)]


class Predictions(list[float | None]):
    async def pregenerate(self, ttl_hours: float | None) -> None:
        self.append(ttl_hours)


async def test_before_a_full_run_predictions_are_made_to_last_a_day() -> None:
    made = Predictions()
    await pregenerating(made, 24)(BEGIN)
    assert made == [24]


@pytest.mark.parametrize(
    ("mode", "late", "regenerated"),
    [(Mode.FULL, MINUTE, [None]), (Mode.CYCLE, MINUTE, []), (Mode.FULL, DAY, [])],
)
async def test_after_a_full_run_that_has_just_ended_they_are_made_to_last_as_usual(
    mode: Mode, late: timedelta, regenerated: list[None]
) -> None:
    made = Predictions()
    over = RunCompleted(
        id="x",
        at=BEGIN,
        run_id="x",
        mode=mode,
        source=Source.CRONTAB,
        total=1,
        done=1,
        failed=0,
        skipped=0,
        duration_s=1.0,
    )
    await Regeneration(made, lambda: BEGIN + late).on_event(over, BEGIN)
    assert made == regenerated


@pytest.mark.parametrize(
    ("zone", "cron"),
    [
        ("Europe/Berlin", "30 2 * * *"),  # skipped in March, repeated in October
        ("America/New_York", "30 2 * * *"),  # skipped in March
        ("America/New_York", "30 1 * * *"),  # repeated in November
        ("Australia/Lord_Howe", "15 2 * * *"),  # skipped in October, by half an hour
        ("Australia/Lord_Howe", "45 1 * * *"),  # repeated in April
    ],
)
async def test_woken_by_jetstream_a_daily_schedule_acts_once_on_each_local_day_of_a_year(
    zone: str, cron: str
) -> None:
    daily, local = Schedule(name="full", cron=cron, zone=zone), ZoneInfo(zone)
    begin, end = (datetime(year, 1, 1, tzinfo=local).astimezone(UTC) for year in (2026, 2027))
    scheduler = Scheduler(daily, since=begin)
    woken = merge(
        ((at, daily.name) for at in wake_ups(daily, begin, end)),
        ((at, REVIEW) for at in wake_ups(review(), begin, end) if at.month in CHANGING),
    )
    for at, name in woken:
        await scheduler.tick(name, at)
    days = Counter(due.astimezone(local).date() for _, due in scheduler.acted)
    assert days == Counter(date(2026, 1, 1) + n * DAY for n in range(365))
    assert set(scheduler.late) == {timedelta(0)}
