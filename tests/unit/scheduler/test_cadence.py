from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.domain.cadence import (
    PREGENERATION,
    Schedule,
    check_zone,
    checked_cron,
    every_minutes,
    pregeneration,
)
from shared.contracts.errors import InvalidSetting
from tests.support.coordination import BEGIN
from tests.support.ticking import wake_ups

MINUTE = timedelta(minutes=1)


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Nuuk", "Africa/Cairo"]


def daily(cron: str, zone: str) -> Schedule:
    return checked_cron("full", cron, zone, setting="FULL_RETRAIN_SCHEDULE")


def instants(schedule: Schedule, since: datetime, until: datetime) -> list[datetime]:
    found: list[datetime] = []
    at = schedule.next_after(since)
    while at < until:
        found.append(at)
        at = schedule.next_after(at)
    return found


def test_a_cron_expression_gets_a_field_for_the_second() -> None:
    schedule = checked_cron("full", "0 2 * * 0", "Europe/Istanbul", setting="X")
    assert (schedule.expression, schedule.zone) == ("0 0 2 * * 0", "Europe/Istanbul")


@pytest.mark.parametrize(
    ("minutes", "expression"),
    [
        (0.05, "*/3 * * * * *"),
        (1, "*/60 * * * * *"),
        (15, "0 */15 * * * *"),
        (60, "0 */60 * * * *"),
        (120, "0 0 */2 * * *"),
        (1440, "0 0 */24 * * *"),
        (7, "@every 420s"),
        (1.5, "@every 90s"),
        (90, "@every 5400s"),
        (1440 * 10_000, "@every 864000000s"),
    ],
)
def test_a_period_that_divides_a_minute_hour_or_day_is_written_as_cron(
    minutes: float, expression: str
) -> None:
    assert every_minutes("candles", minutes).expression == expression


@given(st.floats(1 / 60, 1440 * 10_000), st.integers(1, 100))
def test_a_period_is_due_at_its_multiples_of_which_one_in_so_many_counts(
    minutes: float, one_in: int
) -> None:
    schedule = every_minutes("cycle", minutes, one_in=one_in)
    assert schedule.every is not None
    period = schedule.every * one_in
    due = schedule.due_by(BEGIN)
    assert (due - datetime(1970, 1, 1, tzinfo=UTC)) % period == timedelta(0)
    assert due <= BEGIN < schedule.next_after(BEGIN) == due + period


def test_the_instant_itself_is_due_and_not_the_next() -> None:
    for schedule in (every_minutes("cycle", 15), daily("0 12 * * *", "UTC")):
        assert schedule.due_by(BEGIN) == BEGIN
        assert schedule.due_by(BEGIN) <= BEGIN < schedule.next_after(BEGIN)
    assert len(schedule.expression.split()) == 6


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("hour", [0, 1, 2, 3, 12])
@pytest.mark.parametrize("minute", [0, 30])
def test_a_daily_schedule_is_due_once_on_each_local_day_of_the_year(
    zone: str, hour: int, minute: int
) -> None:
    schedule = checked_cron("incremental", f"{minute} {hour} * * *", zone, setting="X")
    local = ZoneInfo(zone)
    begin, end = datetime(2026, 1, 1, tzinfo=local), datetime(2027, 1, 1, tzinfo=local)
    # The minute before, since an instant is due after `now`, not at it.
    found = instants(schedule, (begin - MINUTE).astimezone(UTC), end.astimezone(UTC))
    days = Counter(at.astimezone(local).date() for at in found)
    assert days == Counter(date(2026, 1, 1) + timedelta(days=n) for n in range(365))


@given(
    st.sampled_from(
        ["30 2 * * *", "0,30 2 * * *", "*/20 1,2 * * *", "5 * * * 0", "30 1,2,3 * * *"]
    ),
    st.sampled_from(ZONES),
    st.timedeltas(timedelta(0), timedelta(days=730)).map(lambda later: BEGIN + later),
)
def test_no_instant_lies_between_the_last_one_and_the_next(
    cron: str, zone: str, now: datetime
) -> None:
    schedule = daily(cron, zone)
    due = schedule.due_by(now)
    assert due <= now < schedule.next_after(now) == schedule.next_after(due)


@pytest.mark.parametrize(
    ("on", "due"),
    [("2026-03-29", "2026-03-29T03:00+02:00"), ("2026-10-25", "2026-10-25T02:30+02:00")],
)
def test_half_past_two_is_due_after_the_skipped_hour_and_in_the_first_of_two(
    on: str, due: str
) -> None:
    midnight = datetime.fromisoformat(f"{on}T00:00").replace(tzinfo=ZoneInfo("Europe/Berlin"))
    found = daily("30 2 * * *", "Europe/Berlin").next_after(midnight.astimezone(UTC))
    assert found == datetime.fromisoformat(due)


@pytest.mark.parametrize(
    ("cron", "expression"),
    [
        ("0 2 * * 7", "0 0 2 * * 0"),
        ("0 2 * * 5-7", "0 0 2 * * 0,5,6"),
        ("30 2 * jan-mar SUN,WED", "0 30 2 * 1,2,3 0,3"),
        ("*/20 */6 1,15 * *", "0 0,20,40 0,6,12,18 1,15 * *"),
        ("0 2 L * *", "0 0 2 * * *"),
        ("0 2 * * MON#1", "0 0 2 * * *"),
    ],
)
def test_cron_is_written_in_the_words_that_jetstream_knows(cron: str, expression: str) -> None:
    assert daily(cron, "UTC").expression == expression


FIELDS = st.tuples(
    st.sampled_from(["0", "*/20", "5-59/7", "59", "*"]),
    st.sampled_from(["2", "*", "*/6", "1-3", "23"]),
    st.sampled_from(["*", "13", "*/2", "1-31", "L", "LW"]),
    st.sampled_from(["*", "MAR-NOV", "3,10"]),
    st.sampled_from(["*", "0", "7", "1-5", "SUN#2", "5L", "*/2"]),
)


@given(FIELDS, st.sampled_from([0, 5, 59]), st.dates(date(2026, 1, 1), date(2027, 12, 31)))
def test_jetstream_wakes_us_whenever_something_is_due(
    fields: tuple[str, ...], ahead: int, day: date
) -> None:
    schedule = replace(daily(" ".join(fields), "UTC"), ahead=ahead * MINUTE)
    since = datetime(day.year, day.month, day.day, tzinfo=UTC)
    due = instants(schedule, since - MINUTE, since + timedelta(days=1))
    assert set(due) <= set(wake_ups(schedule, since, since + timedelta(days=1)))


def test_predictions_are_made_five_minutes_before_a_full_run() -> None:
    full = daily("0 2 * * 0", "Europe/Istanbul")
    before = pregeneration(full)
    for now in (BEGIN, BEGIN + timedelta(days=3)):
        assert full.next_after(now) - before.next_after(now) == 5 * MINUTE
    assert before.expression == "0 55 * * * *"
    assert before.name == PREGENERATION


@pytest.mark.parametrize("schedule", [every_minutes("cycle", 15), daily("*/15 * * * *", "UTC")])
def test_going_back_no_instant_is_left_out(schedule: Schedule) -> None:
    assert list(islice(schedule.before(BEGIN), 3)) == [BEGIN - n * 15 * MINUTE for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("schedule", "patience"),
    [
        (every_minutes("cycle", 15), 7.5 * MINUTE),
        (every_minutes("cycle", 0.05), MINUTE),
        (every_minutes("incremental", 360), 180 * MINUTE),
        (Schedule(name="full", cron="0 2 * * 0"), 720 * MINUTE),
    ],
)
def test_half_a_period_is_waited_for_at_least_a_minute_at_most_half_a_day(
    schedule: Schedule, patience: timedelta
) -> None:
    assert schedule.patience(schedule.due_by(BEGIN)) == patience


def test_the_next_instant_is_in_utc_and_in_the_future() -> None:
    schedule = checked_cron("full", "0 2 * * 0", "Europe/Istanbul", setting="X")
    friday = datetime(2026, 11, 20, 12, tzinfo=UTC)
    sunday = datetime(2026, 11, 21, 23, tzinfo=UTC)
    assert schedule.next_after(friday) == sunday
    assert schedule.next_after(sunday) == sunday + timedelta(days=7)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "0 2 * *",
        "0 0 2 * * 0",
        "@daily",
        "61 2 * * *",
        "0 2 * * no",
        "0 0 30 2 *",
        "*/0 * * * *",
    ],
)
def test_a_bad_expression_is_refused_and_the_variable_named(expression: str) -> None:
    with pytest.raises(InvalidSetting, match="FULL_RETRAIN_SCHEDULE"):
        checked_cron("full", expression, "UTC", setting="FULL_RETRAIN_SCHEDULE")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "Europe", "UTC\0"])
def test_a_bad_zone_is_refused_and_the_variable_named(zone: str) -> None:
    with pytest.raises(InvalidSetting, match="SCHEDULE_TIMEZONE"):
        check_zone(zone, setting="SCHEDULE_TIMEZONE")


@given(st.text(max_size=30))
def test_any_text_is_a_schedule_or_a_setting_to_mend(text: str) -> None:
    try:
        schedule = checked_cron("incremental", text, "UTC", setting="X")
    except InvalidSetting:
        return
    assert schedule.due_by(BEGIN) <= BEGIN < schedule.next_after(BEGIN)
    assert len(schedule.expression.split()) == 6
