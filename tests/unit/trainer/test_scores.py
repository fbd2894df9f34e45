import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.domain.chance import Chance
from services.trainer.domain.scores import (
    calibration_error,
    independent_rows,
    interval,
    log_loss,
    roc_auc,
    score,
)
from shared.contracts.quality import Reliability

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


def test_effective_rows_are_those_that_share_no_candles() -> None:
    labels = np.tile([1.0, 0.0], 60)
    assert score(7, "basic", labels, np.full(120, 0.5)).effective_rows == pytest.approx(120 / 7)


def test_the_interval_has_hanley_and_mcneils_width_where_rows_stand_alone() -> None:
    """For an area of 1/2 their variance is Mann-Whitney's: (n + m + 1) / (12 n m)."""
    rng = np.random.default_rng(0)
    labels, said = (rng.random(10_000) < 0.5).astype(float), rng.random(10_000)
    low, high = interval(0.5, labels, said)
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(10_001 / (12 * 5000**2)), rel=0.05)


@given(judged)
def test_an_interval_holds_its_area_and_stays_between_0_and_1(
    pairs: tuple[np.ndarray, np.ndarray],
) -> None:
    found = score(1, "basic", *pairs)
    if found.roc_auc is not None:
        assert found.roc_auc_interval is not None
        low, high = found.roc_auc_interval
        assert 0.0 <= low < high <= 1.0
        assert low < found.roc_auc or found.roc_auc == 0.0
        assert high > found.roc_auc or found.roc_auc == 1.0


def _follow(count: int, rows: int, *, persistence: float, seed: int) -> np.ndarray:
    """Series that keep so much of their last value: [count, rows]. With 1 they are walks."""
    series = np.random.default_rng(seed).normal(0.0, 1.0, (count, rows + 100))
    for row in range(1, rows + 100):
        series[:, row] += persistence * series[:, row - 1]
    return series[:, 100:]


def _rises(count: int, rows: int, horizon: int, *, persistence: float) -> np.ndarray:
    """Whether the sums of `horizon` steps ahead are positive: labels that overlap."""
    steps = _follow(count, rows + horizon, persistence=persistence, seed=1)
    paths = np.cumsum(steps, axis=1)
    return (paths[:, horizon:] > paths[:, :-horizon]).astype(float)


def _covered(truth: np.ndarray, said: np.ndarray) -> float:
    """The share of intervals that hold one half, of those that there are."""
    held = []
    for labels, each in zip(truth, said, strict=True):
        area = roc_auc(labels, each)
        if area is not None:
            low, high = interval(area, labels, each)
            held.append(low <= 0.5 <= high)
    return float(np.mean(held))


@pytest.mark.parametrize("returns", [0.0, 0.6], ids=["a random walk", "returns that follow"])
@pytest.mark.parametrize("forecasts", [0.0, 0.8, 0.97, 1.0])
@pytest.mark.parametrize("horizon", [1, 7, 30])
@pytest.mark.parametrize("rows", [14, 56, 120, 480])
def test_intervals_hold_one_half_where_forecasts_know_nothing(
    rows: int, horizon: int, forecasts: float, returns: float
) -> None:
    """However long labels overlap, returns follow one another, and forecasts stay what they are."""
    truth = _rises(300, rows, horizon, persistence=returns)
    said = _follow(300, rows, persistence=forecasts, seed=2)
    assert _covered(truth, said) >= 0.9


def test_intervals_hold_what_a_forecast_is_worth() -> None:
    """The forecast foresees a half of what moves the market, over and over."""
    known = _follow(300, 480, persistence=0.8, seed=3)
    truth = (known + _follow(300, 480, persistence=0.8, seed=4) > 0.0).astype(float)
    worth = roc_auc(truth.ravel(), known.ravel())
    assert worth is not None
    held = []
    for labels, said in zip(truth, known, strict=True):
        area = roc_auc(labels, said)
        assert area is not None
        low, high = interval(area, labels, said)
        held.append(low <= worth <= high)
    assert np.mean(held) >= 0.9


def test_forecasts_that_are_new_on_every_row_lose_nothing_by_labels_that_overlap() -> None:
    truth = _rises(50, 480, 30, persistence=0.0)
    fresh, slow = (_follow(50, 480, persistence=each, seed=2) for each in (0.0, 0.97))
    worth_fresh, worth_slow = (
        np.mean([independent_rows(*pair) for pair in zip(truth, said, strict=True)])
        for said in (fresh, slow)
    )
    assert worth_fresh > 0.8 * 480
    assert worth_slow < 0.1 * 480


@pytest.mark.parametrize("said", [np.full(4, 0.5), np.array([0.1, 0.1, 0.4, 0.4])])
def test_rows_are_never_worth_more_than_they_are(said: np.ndarray) -> None:
    assert 0.0 < independent_rows(np.array([1.0, 0.0, 1.0, 0.0]), said) <= 4.0


def test_chance_stands_beside_a_roc_auc_and_nowhere_else() -> None:
    known = Chance(mean=0.52, high=0.6)
    labels = np.array([1.0, 0.0, 1.0])
    found = score(1, "ensemble", labels, np.array([0.6, 0.4, 0.5]), chance=known)
    assert (found.roc_auc_null, found.roc_auc_null_high) == (0.52, 0.6)
    assert score(1, "ensemble", np.ones(3), labels, chance=known).roc_auc_null is None


def test_the_ensembles_forecasts_are_counted_in_ten_bins() -> None:
    labels = np.array([1.0, 0.0, 1.0, 1.0], np.float32)
    probabilities = np.array([0.52, 0.58, 0.07, 1.0])
    bins = score(1, "ensemble", labels, probabilities).reliability
    assert len(bins) == 10
    assert bins[5] == Reliability(forecasts=2, p_up_sum=1.1, ups=1)
    assert (bins[0].forecasts, bins[9].forecasts) == (1, 1)
    assert sum(each.forecasts for each in bins) == 4
    assert score(1, "basic", labels, probabilities).reliability == ()
