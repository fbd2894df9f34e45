import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.domain.chance import Chance
from services.trainer.domain.scores import (
    calibration_error,
    interval,
    log_loss,
    roc_auc,
    score,
)

judged = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1)),
    min_size=1,
    max_size=60,
).map(lambda pairs: tuple(np.array(column, float) for column in zip(*pairs, strict=True)))


@given(judged)
def test_roc_auc_is_the_share_of_pairs_in_the_right_order_and_ties_count_half(
    pairs: tuple[np.ndarray, np.ndarray],
) -> None:
    labels, said = pairs
    ups, downs = said[labels > 0], said[labels == 0]
    wins = [float(up > down) + 0.5 * float(up == down) for up in ups for down in downs]
    expected = pytest.approx(sum(wins) / len(wins)) if wins else None
    assert roc_auc(labels, said) == expected


@given(judged)
def test_log_loss_is_the_mean_surprise_and_certainty_that_is_wrong_stays_finite(
    pairs: tuple[np.ndarray, np.ndarray],
) -> None:
    labels, said = pairs
    surprises = [
        -math.log(max(p if up else 1.0 - p, 1e-7)) for up, p in zip(labels, said, strict=True)
    ]
    assert log_loss(labels, said) == pytest.approx(sum(surprises) / len(surprises), abs=1e-6)


def test_accuracy_stands_beside_the_rate_of_the_commoner_class() -> None:
    found = score(7, "basic", np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.5, 0.2, 0.6, 0.4]))
    assert (found.accuracy, found.base_rate, found.rows) == (0.75, 0.75, 4)
    assert (found.horizon, found.learner) == (7, "basic")


def test_rows_of_one_class_have_no_roc_auc() -> None:
    assert score(1, "basic", np.ones(5), np.full(5, 0.4)).roc_auc is None


@given(judged)
def test_the_brier_score_is_the_mean_squared_error(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    labels, said = pairs
    squares = [(p - up) ** 2 for up, p in zip(labels, said, strict=True)]
    assert score(1, "basic", labels, said).brier == pytest.approx(sum(squares) / len(squares))


def test_the_calibration_error_is_the_gap_between_what_was_said_and_what_came() -> None:
    labels = np.tile([1.0, 0.0, 0.0, 0.0, 0.0], 60)  # one in five
    assert calibration_error(labels, np.full(300, 0.2)) == pytest.approx(0.0)
    assert calibration_error(labels, np.full(300, 0.6)) == pytest.approx(0.4)


def test_gaps_of_different_signs_do_not_make_up_for_each_other() -> None:
    labels = np.concatenate([np.zeros(150), np.ones(150)])
    said = np.concatenate([np.full(150, 0.3), np.full(150, 0.7)])
    assert calibration_error(labels, said) == pytest.approx(0.3)


def test_overlapping_labels_count_as_fewer_rows_and_widen_the_interval() -> None:
    labels = np.tile([1.0, 0.0], 60)
    narrow, wide = interval(0.6, labels, 1), interval(0.6, labels, 7)
    assert narrow[0] > wide[0]
    assert narrow[1] < wide[1]
    assert score(7, "basic", labels, np.full(120, 0.5)).effective_rows == pytest.approx(120 / 7)


def test_the_interval_has_hanley_and_mcneils_width_in_the_middle() -> None:
    """For an area of 1/2 their variance is Mann-Whitney's: (n + m + 1) / (12 n m)."""
    low, high = interval(0.5, np.tile([1.0, 0.0], 5000), 1)
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(10_001 / (12 * 5000**2)), rel=0.01)


@given(judged, st.integers(1, 60))
def test_an_interval_holds_its_area_and_stays_between_0_and_1(
    pairs: tuple[np.ndarray, np.ndarray], horizon: int
) -> None:
    found = score(horizon, "basic", *pairs)
    if found.roc_auc is not None:
        assert found.roc_auc_interval is not None
        low, high = found.roc_auc_interval
        assert 0.0 <= low < high <= 1.0
        assert low < found.roc_auc or found.roc_auc == 0.0
        assert high > found.roc_auc or found.roc_auc == 1.0


def _walks(rows: int, horizon: int, count: int) -> np.ndarray:
    """Whether overlapping sums of noise are positive: [count, rows]."""
    steps = np.random.default_rng(1).normal(0.0, 1.0, (count, rows + horizon))
    paths = np.cumsum(steps, axis=1)
    return (paths[:, horizon:] > paths[:, :-horizon]).astype(float)


@pytest.mark.parametrize(("rows", "horizon"), [(120, 1), (500, 7), (1000, 30)])
def test_intervals_cover_one_half_where_a_persistent_score_knows_nothing(
    rows: int, horizon: int
) -> None:
    """The score is a slow walk of its own: the hardest case for labels that overlap."""
    truth = _walks(rows, horizon, 400)
    noise = np.random.default_rng(2).normal(0.0, 1.0, (400, rows))
    said = np.cumsum(noise, axis=1)
    covered = 0
    for labels, each in zip(truth, said, strict=True):
        area = roc_auc(labels, each)
        low, high = interval(area, labels, horizon) if area is not None else (0.0, 1.0)
        covered += low <= 0.5 <= high
    assert covered / 400 >= 0.9


def test_chance_stands_beside_a_roc_auc_and_nowhere_else() -> None:
    known = Chance(mean=0.52, high=0.6)
    labels = np.array([1.0, 0.0, 1.0])
    found = score(1, "ensemble", labels, np.array([0.6, 0.4, 0.5]), chance=known)
    assert (found.roc_auc_null, found.roc_auc_null_high) == (0.52, 0.6)
    assert score(1, "ensemble", np.ones(3), labels, chance=known).roc_auc_null is None
