from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.clock import from_ms, to_ms, utc_now


@given(st.integers(0, 4_102_444_800_000))
def test_milliseconds_survive_the_round_trip(ms: int) -> None:
    assert to_ms(from_ms(ms)) == ms


def test_a_known_instant() -> None:
    assert from_ms(1_763_776_800_250) == datetime(2025, 11, 22, 2, 0, 0, 250_000, tzinfo=UTC)


def test_the_present_is_aware_and_in_utc() -> None:
    assert utc_now().tzinfo is UTC
