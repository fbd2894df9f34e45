import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.domain.blending import blended, calibration, mixture, own_slope
from services.trainer.domain.scores import log_loss
from services.trainer.domain.slopes import UNKNOWN, Slope, expected
from shared.model.blend import MIN_SLOPE
from shared.model.odds import sigmoid

Vector = npt.NDArray[np.float64]

#: As a symbol's own rows alone would be believed, with hardly a prior.
ALONE = Slope(mean=1.0, spread=10.0)


def market(rows: int, *, seed: int, edge: float = 0.4) -> tuple[Vector, npt.NDArray[np.bool_]]:
    """The true log-odds of rows that stand alone, and what became of them."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(0.0, edge, rows)
    return margins, rng.random(rows) < sigmoid(margins)


def gain(rows: int, *, boldness: float, worlds: int = 60) -> float:
    """How much log loss calibration on `rows` rows saves on others, in a model whose log-odds are
    `boldness` times too large.
    """
    saved = []
    for seed in range(worlds):
        margins, risen = market(rows + 2000, seed=seed)
        said = boldness * margins
        slope, intercept = calibration(said[:rows], risen[:rows], 1)
        truth, rest = risen[rows:].astype(float), said[rows:]
        saved.append(
            log_loss(truth, sigmoid(rest)) - log_loss(truth, sigmoid(slope * rest + intercept))
        )
    return float(np.mean(saved))


def test_calibration_mends_an_overconfident_model_from_500_rows() -> None:
    assert gain(500, boldness=3.0) > 0.03


def test_calibration_mends_an_overconfident_model_from_30_rows_already() -> None:
    assert gain(30, boldness=3.0) > 0.0


@pytest.mark.parametrize("rows", [30, 120, 500])
def test_calibration_hardly_hurts_a_model_that_needs_none(rows: int) -> None:
    assert gain(rows, boldness=1.0) > -0.004


def test_calibration_reaches_the_truth_with_many_rows() -> None:
    margins, risen = market(50_000, seed=0)
    slope, intercept = calibration(2.0 * margins + 0.6, risen, 1)
    assert slope == pytest.approx(0.5, abs=0.05)
    assert intercept == pytest.approx(-0.3, abs=0.05)


def test_a_model_that_was_always_wrong_is_muted_and_not_turned_round() -> None:
    margins, risen = market(5000, seed=0)
    slope, _ = calibration(-margins, risen, 1)
    assert slope == MIN_SLOPE


def test_without_rows_the_learners_count_the_same_and_the_slope_is_what_is_expected() -> None:
    known = {7: Slope(mean=0.8, spread=0.1)}
    blend = blended(np.empty((0, 2, 4)), np.empty((0, 2), np.float32), (1, 7), known)
    assert blend.weights == pytest.approx(np.full((2, 4), 0.25))
    assert blend.slope == pytest.approx(np.array([UNKNOWN.mean, 0.8]))
    assert blend.intercept == pytest.approx(np.zeros(2))


def test_rows_whose_labels_overlap_count_for_less() -> None:
    margins, risen = market(120, seed=1)
    alone, _ = calibration(0.3 * margins, risen, 1)
    overlapping, _ = calibration(0.3 * margins, risen, 30)
    assert abs(overlapping - UNKNOWN.mean) < abs(alone - UNKNOWN.mean) / 2


def test_the_surer_the_others_are_the_less_a_few_rows_of_ones_own_say() -> None:
    margins, risen = market(120, seed=1)
    sure, unsure = (
        calibration(0.3 * margins, risen, 1, Slope(mean=0.2, spread=spread))[0]
        for spread in (0.05, 1.0)
    )
    assert abs(sure - 0.2) < abs(unsure - 0.2) / 5


def test_what_other_symbols_bear_out_makes_short_windows_better() -> None:
    """Thirty symbols, all twice too bold, with 30 rows each: judged on rows that follow."""
    worlds = [market(2030, seed=seed) for seed in range(30)]
    found = [own_slope(2.0 * margins[:30], risen[:30], 1) for margins, risen in worlds]
    pooled: list[float] = []
    alone: list[float] = []
    for number, (margins, risen) in enumerate(worlds):
        others = [slope for other, slope in enumerate(found) if slope and other != number]
        for slopes, losses in ((expected(others), pooled), (ALONE, alone)):
            slope, intercept = calibration(2.0 * margins[:30], risen[:30], 1, slopes)
            said = sigmoid(slope * 2.0 * margins[30:] + intercept)
            losses.append(log_loss(risen[30:].astype(float), said))
    assert np.mean(pooled) < np.mean(alone) - 0.002


def _said(margins: Vector, *, seed: int, noise: float = 0.2) -> Vector:
    rng = np.random.default_rng(seed)
    return sigmoid(margins[:, None] + rng.normal(0.0, noise, (len(margins), 4)))


@pytest.mark.parametrize("seed", range(10))
def test_with_few_rows_alike_learners_have_nearly_the_same_weight(seed: int) -> None:
    margins, risen = market(30, seed=seed)
    assert mixture(_said(margins, seed=seed), risen, 1) == pytest.approx(np.full(4, 0.25), abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_with_enough_rows_a_learner_that_talks_junk_loses_its_weight(seed: int) -> None:
    margins, risen = market(2000, seed=seed)
    said = _said(margins, seed=seed)
    said[:, 2] = sigmoid(np.random.default_rng(seed + 50).normal(0.0, 1.5, len(said)))
    weights = mixture(said, risen, 1)
    assert weights[2] < 0.1
    assert int(weights.argmin()) == 2


@given(
    said=st.lists(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3), max_size=40),
    horizon=st.integers(1, 60),
    up_to=st.integers(0, 40),
)
def test_whatever_was_said_the_blend_is_sound(
    said: list[list[float]], horizon: int, up_to: int
) -> None:
    by_learner = np.array(said, np.float64).reshape(len(said), 1, 3)
    truth = (np.arange(len(said)) < up_to).astype(np.float32)[:, None]
    blend = blended(by_learner, truth, (horizon,), {})
    blend.check(horizons=1, learners=3)
    assert np.all(np.isfinite(blend.p_up(by_learner)))


def test_the_weights_are_the_optimum_that_a_search_finds() -> None:
    margins, risen = market(300, seed=3)
    said = _said(margins, seed=3, noise=0.8)[:, :2]
    likely = np.where(risen[:, None], said, 1.0 - said)

    def posterior(first: float) -> float:
        weights = np.array([first, 1.0 - first])
        return float(np.log(likely @ weights).sum() / 3 + 2.0 * np.log(weights).sum())

    tried = np.linspace(0.001, 0.999, 999)
    best = tried[int(np.argmax([posterior(first) for first in tried]))]
    assert mixture(said, risen, 3)[0] == pytest.approx(best, abs=0.002)
