"""What the oracle of the features does not reach: windows of every size, and short series."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.model import windows

series = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40).map(np.array)


@given(values=series, size=st.integers(1, 50))
@settings(deadline=None)
def test_every_window_is_the_newest_values_with_the_first_one_repeated_before(
    values: windows.Series, size: int
) -> None:
    padded = np.concatenate([np.full(size - 1, values[0]), values])
    each = [padded[t : t + size] for t in range(len(values))]
    cases: dict[Callable[[windows.Series, int], windows.Series], Callable[..., float]] = {
        windows.total: np.sum,
        windows.mean: np.mean,
        windows.highest: np.max,
        windows.lowest: np.min,
        windows.deviation: np.std,
        windows.rows_since_highest: lambda window: window[::-1].argmax(),
        windows.absolute_deviation: lambda window: np.abs(window - window.mean()).mean(),
    }
    for function, slow in cases.items():
        expected = [slow(window) for window in each]
        np.testing.assert_allclose(function(values, size), expected, atol=1e-8)


def test_a_lag_longer_than_the_series_repeats_the_first_value() -> None:
    assert windows.lag(np.array([3.0, 4.0]), 5).tolist() == [3.0, 3.0]


@pytest.mark.parametrize("span", [5, 26, 50])
def test_exponential_weights_fall_and_sum_to_one(span: int) -> None:
    weights = windows.exponential(span)
    assert weights.sum() == pytest.approx(1.0)
    assert np.all(np.diff(weights) < 0.0)
