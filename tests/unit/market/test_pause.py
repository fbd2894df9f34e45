import asyncio
from datetime import UTC, datetime

import pytest

from shared.contracts.errors import Unavailable
from shared.market.providers.pause import Pause, http_date, retry_after_s
from tests.support.coordination import BEGIN, loop_clock

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def test_without_a_pause_nothing_is_waited_for() -> None:
    await Pause("kraken", loop_clock).passed()
    assert asyncio.get_running_loop().time() == 0


async def test_a_short_pause_is_waited_for_and_the_longest_counts() -> None:
    pause = Pause("kraken", loop_clock)
    pause.begin(15)
    pause.begin(5)
    await pause.passed()
    assert asyncio.get_running_loop().time() == 15


async def test_a_long_pause_is_an_error_that_says_its_end_until_it_is_over() -> None:
    pause = Pause("kraken", loop_clock)
    pause.begin(600)
    with pytest.raises(Unavailable, match="kraken wants no requests before 2026-11-20 12:10:00"):
        await pause.passed()
    await asyncio.sleep(600)
    await pause.passed()
    assert asyncio.get_running_loop().time() == 600


async def test_no_provider_can_ask_for_more_than_a_day() -> None:
    pause = Pause("kraken", loop_clock)
    pause.begin(1e12)
    with pytest.raises(Unavailable, match="2026-11-21 12:00:00"):
        await pause.passed()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30.0),
        (" 0 ", 0.0),
        ("Fri, 20 Nov 2026 12:00:45 GMT", 45.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_a_pause_is_asked_for_in_seconds_or_by_its_end(header: str, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": header}, NOW) == seconds


def test_the_name_of_the_header_may_be_written_in_any_case() -> None:
    assert retry_after_s({"Retry-After": "7"}, NOW) == 7
    assert retry_after_s({"Date": "7"}, NOW) is None


def test_what_is_no_http_date_is_none() -> None:
    assert http_date("Fri, 20 Nov 2026 12:00:00 GMT") == BEGIN
    assert http_date("Fri, 20 Nov 2026 12:00:00 -0000") is None
    assert http_date("yesterday") is None
