import math
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.market.timestamps import Stamp, stamp

AT = 1_795_188_600_000  # 2026-11-20 15:30 UTC


@pytest.mark.parametrize(
    "cell",
    [
        AT // 1000,
        AT,
        AT * 1000,
        AT * 1_000_000,
        float(AT),
        str(AT // 1000),
        f"{AT}.0",
        f"{AT // 1000}.000",
        " 2026-11-20 15:30 ",
        "2026-11-20T15:30:00Z",
        "2026-11-20 15:30:00+00:00",
        "2026-11-20 15:30:00 UTC",
        "2026-11-20 15:30:00.000000000",
        "2026.11.20 15:30:00",
        "2026/11/20 15:30",
        "20261120 153000",
        "20261120T153000",
        datetime(2026, 11, 20, 15, 30),  # noqa: DTZ001 - as pandas gives it
        datetime(2026, 11, 20, 15, 30, tzinfo=UTC),
    ],
)
def test_every_spelling_is_the_same_instant(cell: object) -> None:
    assert stamp(cell) == Stamp(AT, AT)


@pytest.mark.parametrize(
    "cell", ["2026-11-20", "20261120", 20261120, "2026/11/20", date(2026, 11, 20)]
)
def test_a_date_alone_is_its_midnight(cell: object) -> None:
    midnight = AT // 86_400_000 * 86_400_000
    assert stamp(cell) == Stamp(midnight, midnight)


@pytest.mark.parametrize(
    "cell",
    [
        "2026-11-20 10:30:00-05:00",
        "2026-11-20 10:30:00 -0500",
        datetime(2026, 11, 20, 10, 30, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_a_zone_is_taken_into_account(cell: object) -> None:
    assert stamp(cell) == Stamp(AT, AT - 5 * 3_600_000)


def test_midnight_on_the_wall_is_the_day_of_a_daily_candle() -> None:
    new_york = stamp("2026-11-20 00:00:00-05:00")
    assert new_york is not None
    assert new_york.day() == AT // 86_400_000 * 86_400_000
    half_past_ten = stamp("2026-11-20 10:30:00-05:00")
    assert half_past_ten is not None
    assert half_past_ten.day() == AT


@pytest.mark.parametrize(
    "cell",
    [
        None,
        True,
        "",
        " ",
        "yesterday",
        "03/04/2026",
        "2026-13-01",
        "20261399",
        "2026-11-20 25:00",
        "NaN",
        math.nan,
        math.inf,
        1.5,
        b"20261120",
        "9" * 5000,
        "1e5",
        "0001-01-01T00:00+14:00",
    ],
)
def test_what_is_no_time_or_could_be_two_is_none(cell: object) -> None:
    assert stamp(cell) is None


@given(st.one_of(st.text(), st.integers(), st.floats(), st.datetimes(), st.none()))
def test_nothing_makes_it_raise(cell: object) -> None:
    read = stamp(cell)
    assert read is None or all(isinstance(ms, int) for ms in read)


@given(st.datetimes(min_value=datetime(1000, 1, 1), max_value=datetime(9999, 1, 1)))  # noqa: DTZ001
def test_iso_text_reads_back_to_the_millisecond(at: datetime) -> None:
    read = stamp(f"{at.isoformat()}Z")
    assert read is not None
    whole = timedelta(milliseconds=read.utc_ms)
    assert timedelta(0) <= at - (datetime(1970, 1, 1) + whole) < timedelta(milliseconds=1)  # noqa: DTZ001
