import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.terms import Timeframe
from shared.market.candles import Candle
from shared.market.checks import Gap, Reason, Refusal, check, gaps

DAY = 86_400_000
MINUTE = 60_000
NOW = 1_700_000_000_000 // DAY * DAY
M15 = Timeframe.M15


def row(at: object, *values: object) -> tuple[object, ...]:
    return (at, *(values or (10.0, 12.0, 9.0, 11.0, 5.0)))


def reasons(*rows: tuple[object, ...], after: int | None = None) -> list[Refusal]:
    return check(rows, timeframe=M15, after=after, now_ms=NOW).refused


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((math.nan, 12.0, 9.0, 11.0, 5.0), Reason.NOT_FINITE),
        ((10.0, math.inf, 9.0, 11.0, 5.0), Reason.NOT_FINITE),
        ((10.0, 12.0, 9.0, 11.0, float("1e400")), Reason.NOT_FINITE),
        ((10.0, 10**400, 9.0, 11.0, 5.0), Reason.NOT_FINITE),
        ((0.0, 12.0, 0.0, 11.0, 5.0), Reason.NEGATIVE),
        ((10.0, 12.0, -9.0, 11.0, 5.0), Reason.NEGATIVE),
        ((10.0, 12.0, 9.0, 11.0, -5.0), Reason.NEGATIVE),
        ((10.0, 9.0, 12.0, 11.0, 5.0), Reason.HIGH_BELOW_LOW),
        ((13.0, 12.0, 9.0, 11.0, 5.0), Reason.OUTSIDE_RANGE),
        ((10.0, 12.0, 9.0, 8.0, 5.0), Reason.OUTSIDE_RANGE),
        ((10.0, 12.0, 9.0, 11.0, None), Reason.MALFORMED),
        ((10.0, 12.0, 9.0, True, 5.0), Reason.MALFORMED),
        ((10.0, "12.0", 9.0, 11.0, 5.0), Reason.MALFORMED),
        ((10.0, 12.0, 9.0, 11.0), Reason.MALFORMED),
        ((10.0, 12.0, 9.0, 11.0, 5.0, 1.0), Reason.MALFORMED),
    ],
)
def test_a_row_with_bad_numbers_is_refused_with_its_reason(
    values: tuple[object, ...], reason: Reason
) -> None:
    assert reasons(row(NOW - DAY, *values)) == [Refusal(0, reason)]


@pytest.mark.parametrize("at", [True, None, "0", 1.5, math.nan])
def test_a_time_that_is_no_whole_number_is_malformed(at: object) -> None:
    assert reasons(row(at)) == [Refusal(0, Reason.MALFORMED)]


def test_an_empty_row_is_malformed() -> None:
    assert reasons(()) == [Refusal(0, Reason.MALFORMED)]


@pytest.mark.parametrize("at", [NOW - DAY + MINUTE, NOW - DAY + 1, -(10**18)])
def test_a_time_between_two_candles_is_misaligned(at: int) -> None:
    assert reasons(row(at)) == [Refusal(0, Reason.MISALIGNED_TIME)]


def test_a_daily_candle_opens_at_midnight_utc() -> None:
    checked = check(
        [row(NOW - 2 * DAY), row(NOW - DAY + 3_600_000)],
        timeframe=Timeframe.D1,
        after=None,
        now_ms=NOW,
    )
    assert [c.at_ms for c in checked.accepted] == [NOW - 2 * DAY]
    assert checked.refused == [Refusal(1, Reason.MISALIGNED_TIME)]


def test_a_candle_is_accepted_from_the_moment_it_closes() -> None:
    last = NOW - M15.ms
    assert reasons(row(last)) == []
    assert reasons(row(NOW)) == [Refusal(0, Reason.FUTURE)]
    before_its_close = check([row(last)], timeframe=M15, after=None, now_ms=NOW - 1)
    assert before_its_close.refused == [Refusal(0, Reason.FUTURE)]


def test_of_two_rows_with_one_time_the_first_stays() -> None:
    at = NOW - DAY
    checked = check(
        [row(at), row(at, 1.0, 1.0, 1.0, 1.0, 1.0)], timeframe=M15, after=None, now_ms=NOW
    )
    assert checked.accepted == [Candle(at, 10.0, 12.0, 9.0, 11.0, 5.0)]
    assert checked.refused == [Refusal(1, Reason.DUPLICATE)]


def test_a_row_that_goes_back_in_time_is_out_of_order() -> None:
    assert reasons(row(NOW - DAY), row(NOW - 2 * DAY)) == [Refusal(1, Reason.OUT_OF_ORDER)]


def test_what_is_already_there_is_refused() -> None:
    known = NOW - DAY
    assert reasons(row(known), row(known - M15.ms), after=known) == [
        Refusal(0, Reason.DUPLICATE),
        Refusal(1, Reason.OUT_OF_ORDER),
    ]


def test_a_bad_row_does_not_stop_the_rows_behind_it() -> None:
    at = NOW - DAY
    checked = check([row(at), (), row(at + M15.ms)], timeframe=M15, after=None, now_ms=NOW)
    assert [c.at_ms for c in checked.accepted] == [at, at + M15.ms]


def test_zero_volume_is_a_quiet_market_and_no_fault() -> None:
    assert reasons(row(NOW - DAY, 10, 10, 10, 10, 0)) == []


def test_a_gap_says_from_where_to_where_and_how_many() -> None:
    at, step = NOW - DAY, M15.ms
    checked = check([row(at), row(at + 4 * step)], timeframe=M15, after=at - 2 * step, now_ms=NOW)
    assert checked.gaps == [
        Gap(at - step, at - step, 1),
        Gap(at + step, at + 3 * step, 3),
    ]


def days(*dates: str) -> list[int]:
    return [int(datetime.fromisoformat(d).replace(tzinfo=UTC).timestamp()) * 1000 for d in dates]


def test_the_weekend_of_a_stock_is_no_gap_but_its_holiday_is() -> None:
    friday, monday, wednesday = days("2026-11-20", "2026-11-23", "2026-11-25")
    assert gaps([friday, monday, wednesday], Timeframe.D1) == [
        Gap(monday + DAY, wednesday - DAY, 1)
    ]


def test_the_weekend_of_a_market_that_never_closes_is_a_gap() -> None:
    sunday, friday, monday = days("2026-11-15", "2026-11-20", "2026-11-23")
    assert gaps([sunday, friday, monday], Timeframe.D1) == [
        Gap(sunday + DAY, friday - DAY, 4),
        Gap(friday + DAY, monday - DAY, 2),
    ]


@given(st.lists(st.integers(-20_000, 20_000), min_size=1, max_size=50, unique=True))
def test_weekdays_missing_are_those_counted_one_by_one(numbers: list[int]) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    weekdays = sorted(n for n in numbers if (epoch + timedelta(n)).weekday() < 5)
    found = gaps([n * DAY for n in weekdays], Timeframe.D1)
    present = set(weekdays)
    expected = (
        sum(
            1
            for n in range(weekdays[0], weekdays[-1])
            if n not in present and (epoch + timedelta(n)).weekday() < 5
        )
        if weekdays
        else 0
    )
    assert sum(gap.missing for gap in found) == expected


cells = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.integers(),
    st.floats(),
    st.floats(0.5, 20.0),
    st.sampled_from([9.0, 10.0, 11.0]),
)
times = st.one_of(st.integers(-5, 105).map(lambda n: NOW - 100 * M15.ms + n * M15.ms), cells)
rows = st.lists(st.one_of(st.tuples(times, *[cells] * 5), st.tuples(times)), max_size=30)


@given(rows)
def test_every_accepted_candle_is_sound_and_every_row_is_accounted_for(
    given_rows: list[tuple[object, ...]],
) -> None:
    checked = check(given_rows, timeframe=M15, after=None, now_ms=NOW)
    for candle in checked.accepted:
        assert all(map(math.isfinite, candle))
        assert 0 < candle.low <= min(candle.open, candle.close)
        assert max(candle.open, candle.close) <= candle.high
        assert candle.volume >= 0
        assert candle.at_ms % M15.ms == 0
        assert candle.at_ms + M15.ms <= NOW
    opened = [candle.at_ms for candle in checked.accepted]
    assert opened == sorted(set(opened))
    assert len(checked.accepted) + len(checked.refused) == len(given_rows)


sound = st.tuples(st.integers(0, 99), st.floats(9.0, 11.0), st.floats(9.0, 11.0)).map(
    lambda t: (NOW - 100 * M15.ms + t[0] * M15.ms, t[1], max(t[1:]), min(t[1:]), t[2], 1.0)
)


@given(st.lists(sound, max_size=40))
def test_checking_what_was_accepted_accepts_all_of_it_again(
    given_rows: list[tuple[object, ...]],
) -> None:
    once = check(given_rows, timeframe=M15, after=None, now_ms=NOW)
    again = check(once.accepted, timeframe=M15, after=None, now_ms=NOW)
    assert (again.accepted, again.refused, again.gaps) == (once.accepted, [], once.gaps)
