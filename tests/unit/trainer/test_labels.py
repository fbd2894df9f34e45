import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.domain.labels import returns_ahead, rises


@given(
    close=st.lists(st.floats(1.0, 1e6), min_size=1, max_size=40).map(np.array),
    horizons=st.sets(st.integers(1, 50), min_size=1, max_size=3),
)
def test_a_return_looks_its_horizon_ahead_and_is_unknown_where_the_future_is(
    close: np.ndarray, horizons: set[int]
) -> None:
    ordered = tuple(sorted(horizons))
    returns = returns_ahead(close, ordered)
    for column, horizon in enumerate(ordered):
        for row in range(len(close)):
            if row + horizon < len(close):
                expected = 100.0 * (close[row + horizon] - close[row]) / close[row]
                np.testing.assert_allclose(returns[row, column], expected, atol=1e-6)
            else:
                assert np.isnan(returns[row, column])


def test_standing_still_is_not_rising() -> None:
    assert rises(np.array([0.1, 0.0, -0.1])).tolist() == [1.0, 0.0, 0.0]
