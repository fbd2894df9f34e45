import numpy as np
import pytest

from services.trainer.domain.evidence import MIN_BLOCKS, lower_bound


def test_the_bound_is_students() -> None:
    """Six means with mean 3.5 and variance 3.5; the 99 % quantile for 5 degrees is 3.365."""
    found = lower_bound(np.arange(1.0, 7.0), 1)
    assert found == pytest.approx(3.5 - 3.365 * np.sqrt(3.5 / 6), abs=0.02)


def test_with_many_blocks_the_bound_is_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(0.0, 1.0, 10_000)
    expected = values.mean() - 2.3263 * values.std() / 100
    assert lower_bound(values, 1) == pytest.approx(expected, abs=1e-4)


def test_too_few_blocks_prove_nothing() -> None:
    assert lower_bound(np.ones(10 * MIN_BLOCKS - 1), 10) is None
    assert lower_bound(np.ones(10 * MIN_BLOCKS), 10) == pytest.approx(1.0)


@pytest.mark.parametrize(("rows", "horizon"), [(120, 1), (120, 14), (500, 30)])
def test_the_bound_is_above_the_truth_in_few_cases(rows: int, horizon: int) -> None:
    """Moving averages of `horizon` values are as much alike as labels that overlap."""
    rng = np.random.default_rng(0)
    raw = rng.normal(0.0, 1.0, (2000, rows + horizon - 1))
    sums = np.cumsum(np.pad(raw, ((0, 0), (1, 0))), axis=1)
    overlapping = sums[:, horizon:] - sums[:, :-horizon]
    above = np.mean([(lower_bound(each, horizon) or 0.0) > 0.0 for each in overlapping])
    assert above < 0.03
