from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.domain.cadence import Schedule, checked_cron, every_minutes
from shared.contracts.errors import InvalidSetting
from tests.support.coordination import BEGIN

MINUTE = timedelta(minutes=1)


def instants(schedule: Schedule, since: datetime, until: datetime) -> list[datetime]:
    found: list[datetime] = []
    at = schedule.next_after(since)
    while at < until:
        found.append(at)
        at = schedule.next_after(at)
    return found


def test_a_cron_expression_gets_a_field_for_the_second() -> None:
    schedule = checked_cron("FULL_RETRAIN_SCHEDULE", "0 2 * * 0", "Europe/Istanbul")
    assert (schedule.expression, schedule.zone) == ("0 0 2 * * 0", "Europe/Istanbul")


@pytest.mark.parametrize(
    ("variable", "name"),
    [("FULL_RETRAIN_SCHEDULE", "full"), ("INCREMENTAL_SCHEDULE", "incremental")],
)
def test_a_schedule_is_named_by_the_mode_it_starts(variable: str, name: str) -> None:
    assert checked_cron(variable, "0 2 * * *", "UTC").name == name


@pytest.mark.parametrize("minutes", [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60])
def test_a_period_that_divides_the_hour_falls_on_round_minutes(minutes: int) -> None:
    schedule = every_minutes("candles", minutes)
    assert schedule.every is None
    found = instants(schedule, BEGIN, BEGIN + timedelta(hours=2))
    assert {at.minute % minutes for at in found} == {0}
    assert {at.second for at in found} == {0}
    assert schedule.next_after(BEGIN) == BEGIN + minutes * MINUTE


@pytest.mark.parametrize(
    ("minutes", "expression"),
    [
        (7, "@every 420s"),
        (0.05, "@every 3s"),
        (1.5, "@every 90s"),
        (90, "@every 5400s"),
        (1440 * 10_000, "@every 864000000s"),
    ],
)
def test_any_other_period_just_repeats(minutes: float, expression: str) -> None:
    assert every_minutes("candles", minutes).expression == expression


@given(st.floats(1 / 60, 1440 * 10_000))
def test_a_period_is_always_written_in_whole_seconds_and_at_least_one(minutes: float) -> None:
    schedule = every_minutes("candles", minutes)
    if schedule.every is not None:
        seconds = schedule.expression.removeprefix("@every ").removesuffix("s")
        assert int(seconds) == schedule.every.total_seconds() >= 1
        assert int(seconds) == pytest.approx(minutes * 60, abs=0.5)


def test_a_period_is_due_at_the_latest_one_period_from_now() -> None:
    assert every_minutes("candles", 7).next_after(BEGIN) == BEGIN + 7 * MINUTE


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("hour", [0, 1, 2, 3, 12])
@pytest.mark.parametrize("minute", [0, 30])
def test_a_daily_schedule_is_due_once_on_each_local_day_of_the_year(
    zone: str, hour: int, minute: int
) -> None:
    schedule = checked_cron("INCREMENTAL_SCHEDULE", f"{minute} {hour} * * *", zone)
    local = ZoneInfo(zone)
    begin, end = datetime(2026, 1, 1, tzinfo=local), datetime(2027, 1, 1, tzinfo=local)
    # The minute before, since an instant is due after `now`, not at it.
    found = instants(schedule, (begin - MINUTE).astimezone(UTC), end.astimezone(UTC))
    days = Counter(at.astimezone(local).date() for at in found)
    assert days == Counter(date(2026, 1, 1) + timedelta(days=n) for n in range(365))


def test_the_next_instant_is_in_utc_and_in_the_future() -> None:
    schedule = checked_cron("FULL_RETRAIN_SCHEDULE", "0 2 * * 0", "Europe/Istanbul")
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
        checked_cron("FULL_RETRAIN_SCHEDULE", expression, "UTC")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "Europe", "UTC\0"])
def test_a_bad_zone_is_refused_and_the_variable_named(zone: str) -> None:
    with pytest.raises(InvalidSetting, match="SCHEDULE_TIMEZONE"):
        checked_cron("FULL_RETRAIN_SCHEDULE", "0 2 * * 0", zone)


@given(st.text(max_size=30))
def test_any_text_is_a_schedule_or_a_setting_to_mend(text: str) -> None:
    try:
        schedule = checked_cron("INCREMENTAL_SCHEDULE", text, "UTC")
    except InvalidSetting:
        return
    assert schedule.next_after(BEGIN) > BEGIN
