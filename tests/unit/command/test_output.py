from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from evertrain.output import age, duration, moment, percent, score, table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (15_000, "4 h 10 min"),
        (86_400 * 12 + 3 * 3600 + 59, "12 d 3 h"),
    ],
)
def test_a_duration_is_told_in_the_two_units_that_matter(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(min_value=0, max_value=1e9))
def test_every_duration_can_be_told(seconds: float) -> None:
    assert duration(seconds)[0].isdecimal()


def test_the_time_of_a_daily_candle_is_its_day() -> None:
    assert moment(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02"
    assert moment(datetime(2026, 1, 2, 3, 4, tzinfo=UTC)) == "2026-01-02 03:04"


def test_what_is_unknown_is_a_dash() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert (moment(None), age(None, now), percent(None), score(None)) == ("-", "-", "-", "-")


def test_brackets_in_a_cell_are_no_markup() -> None:
    out = Console(markup=False, width=80, record=True)
    out.print(table("Reason", rows=[["no model [red]"]]))
    assert "no model [red]" in out.export_text()
