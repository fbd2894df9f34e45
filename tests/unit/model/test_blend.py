import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.errors import ArtifactRefused
from shared.model.blend import MIN_SLOPE, Blend
from shared.model.trial import Trial

PLAIN = Blend.plain(horizons=2, learners=3)


def _bent(*, slope: float, intercept: float, weights: tuple[float, ...] = (0.5, 0.3, 0.2)) -> Blend:
    return Blend(
        weights=np.array([weights]), slope=np.array([slope]), intercept=np.array([intercept])
    )


def test_without_weights_and_calibration_it_is_the_mean() -> None:
    said = np.random.default_rng(0).uniform(0.0, 1.0, (5, 2, 3))
    assert PLAIN.p_up(said) == pytest.approx(said.mean(axis=2))


@given(
    said=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=2).map(sorted),
    slope=st.floats(MIN_SLOPE, 100.0),
    intercept=st.floats(-20.0, 20.0),
)
def test_more_votes_for_a_rise_never_make_one_less_likely(
    said: list[float], slope: float, intercept: float
) -> None:
    blend = _bent(slope=slope, intercept=intercept)
    blend.check(horizons=1, learners=3)
    low, high = blend.p_up(np.repeat(np.array(said), 3).reshape(2, 1, 3))[:, 0]
    assert 0.0 <= low <= high <= 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"slope": np.array([1.0, -1.0])},
        {"slope": np.array([1.0, np.nan])},
        {"intercept": np.array([0.0, np.inf])},
        {"intercept": np.zeros(3)},
        {"weights": np.full((2, 3), 0.5)},
        {"weights": np.array([[0.5, 0.5, 0.0], [1.5, -0.5, 0.0]])},
        {"weights": np.full((2, 2), 0.5)},
        {"weights": np.full((2, 3), np.nan)},
    ],
    ids=str,
)
def test_a_blend_that_makes_no_sense_is_refused(changes: dict[str, np.ndarray]) -> None:
    with pytest.raises(ArtifactRefused):
        dataclasses.replace(PLAIN, **changes).check(horizons=2, learners=3)


@pytest.mark.parametrize(
    ("at", "p_up"),
    [
        ([1, 1], [[0.5], [0.5]]),
        ([2, 1], [[0.5], [0.5]]),
        ([1, 2], [[0.5]]),
        ([1, 2], [[0.5, 0.5], [0.5, 0.5]]),
        ([1, 2], [[0.5], [1.5]]),
        ([1, 2], [[0.5], [np.nan]]),
    ],
)
def test_a_trial_that_makes_no_sense_is_refused(at: list[int], p_up: list[list[float]]) -> None:
    trial = Trial(at=np.array(at), p_up=np.array(p_up, np.float32))
    with pytest.raises(ArtifactRefused):
        trial.check(horizons=1)
