from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.backoff import backoff

seconds = st.floats(0.001, 10)


@given(seconds, seconds, st.floats(1, 4))
def test_no_delay_is_longer_than_the_longest_or_shorter_than_half_its_turn(
    first: float, more: float, factor: float
) -> None:
    most = first + more
    for turn, delay in enumerate(islice(backoff(first, most=most, factor=factor), 30)):
        due = min(first * factor**turn, most)
        assert 0.499 * due <= delay <= 1.001 * due


def test_delays_are_spread_so_that_many_do_not_come_back_together() -> None:
    assert len({next(backoff(1.0, most=1.0)) for _ in range(50)}) > 40


def test_delays_never_end() -> None:
    assert len(list(islice(backoff(0.1, most=5.0), 5000))) == 5000
