from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from services.trainer.domain.evidence import lower_bound
from services.trainer.domain.gate import MARGIN, Unseen, judge
from services.trainer.domain.scores import surprise
from shared.contracts.records import Verdict
from shared.model.artifact import Model, encode
from shared.model.features import matrix
from shared.model.forecast import probabilities
from shared.model.odds import sigmoid
from shared.model.trial import Trial
from tests.support.markets import random_walk
from tests.support.models import made_up_model

HORIZONS = (1, 3)
FEATURES = matrix(random_walk(1000))
AT = 1_704_067_200_000 + 900_000 * np.arange(len(FEATURES))

Vector = npt.NDArray[np.float64]
Labels = npt.NDArray[np.float32]


def world(rows: int, *, seed: int = 0, edge: float = 1.0) -> tuple[Vector, Labels]:
    """True probabilities [rows, horizons], and what became of them; rows stand alone."""
    rng = np.random.default_rng(seed)
    p = sigmoid(rng.normal(0.0, edge, (rows, len(HORIZONS))))
    return p, (rng.random(p.shape) < p).astype(np.float32)


def live(said: Vector, *, newest: int = -1) -> Model:
    """A model that said this before it knew; its own candle is the last of those rows."""
    model = made_up_model(horizons=HORIZONS)
    trial = Trial(at=AT[: len(said)], p_up=said.astype(np.float32))
    candle_at_ms = int(AT[: len(said)][newest]) if len(said) else 0
    return replace(model, card=replace(model.card, candle_at_ms=candle_at_ms), trial=trial)


def compare(ours: Vector, theirs: Vector, truth: Labels) -> Verdict:
    rows = len(truth)
    unseen = Unseen(at=AT[:rows], features=FEATURES[:rows], truth=truth, p_up=ours)
    return judge(unseen, HORIZONS, encode(live(theirs)), "v1")


def test_the_same_model_passes_with_no_excess() -> None:
    p, truth = world(200)
    verdict = compare(p, p, truth)
    assert not verdict.refused
    assert verdict.excess == pytest.approx(0.0, abs=1e-6)
    assert (verdict.rows, verdict.horizons, verdict.live_version) == (200, HORIZONS, "v1")


@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_learnt_from_shuffled_labels_is_refused(seed: int) -> None:
    p, truth = world(300, seed=seed)
    shuffled = np.random.default_rng(seed).permuted(p, axis=0)
    verdict = compare(shuffled, p, truth)
    assert verdict.refused
    assert verdict.excess_low is not None
    assert verdict.excess_low > MARGIN


def test_a_better_model_passes() -> None:
    p, truth = world(300)
    verdict = compare(p, np.full_like(p, 0.5), truth)
    assert not verdict.refused
    assert verdict.excess is not None
    assert verdict.excess < 0.0


def test_equal_models_are_seldom_refused_on_small_samples() -> None:
    """Both err, each in its own way, by as much."""
    refused = 0
    for seed in range(300):
        p, truth = world(40, seed=seed)
        rng = np.random.default_rng(1000 + seed)
        one, other = (np.clip(p + rng.normal(0.0, 0.1, p.shape), 0.01, 0.99) for _ in range(2))
        refused += compare(one, other, truth).refused
    assert refused / 300 <= 0.05


@pytest.mark.parametrize(("share", "refused"), [(0.8, False), (1.2, True)])
def test_a_difference_within_the_margin_is_let_pass(share: float, refused: bool) -> None:
    """However sure it is: the truth is a little less likely to the new one on every row."""
    p, truth = world(200)
    less = np.exp(-share * MARGIN)
    worse = np.where(truth > 0.5, p * less, 1 - (1 - p) * less)
    verdict = compare(worse, p, truth)
    assert verdict.excess_low == pytest.approx(share * MARGIN, abs=1e-6)
    assert verdict.refused is refused


def test_for_candles_later_than_its_own_the_live_model_itself_is_asked() -> None:
    model = live(np.empty((0, 2)))
    said = probabilities(model, FEATURES[:100]).p_up
    truth = world(100)[1]
    unseen = Unseen(at=AT[:100], features=FEATURES[:100], truth=truth, p_up=said)
    verdict = judge(unseen, HORIZONS, encode(model), "v1")
    assert verdict.rows == 100
    assert verdict.excess == pytest.approx(0.0, abs=1e-9)


def test_rows_that_the_live_model_learnt_from_do_not_count() -> None:
    """It knows all hundred, and has shown what it foretells without for the first forty."""
    p, truth = world(100)
    model = live(p[:40])
    known = replace(model, card=replace(model.card, candle_at_ms=int(AT[99])))
    unseen = Unseen(at=AT[:100], features=FEATURES[:100], truth=truth, p_up=p)
    assert judge(unseen, HORIZONS, encode(known), "v1").rows == 40


def test_rows_that_share_candles_do_not_count_twice() -> None:
    """Every row stands there three times, as if its label were that of its neighbours."""
    p, truth = world(60)
    even = np.full_like(p, 0.5)
    once = lower_bound((surprise(truth, even) - surprise(truth, p)).mean(axis=1), 1)
    thrice = compare(even.repeat(3, axis=0), p.repeat(3, axis=0), truth.repeat(3, axis=0))
    assert once is not None
    assert thrice.excess_low is not None
    assert thrice.excess_low < once


def test_horizons_with_too_few_rows_to_judge_by_are_left_out() -> None:
    p, truth = world(17)
    assert compare(p, p, truth).horizons == (1,)


def test_too_few_rows_are_no_ground_to_refuse() -> None:
    p, truth = world(5)
    verdict = compare(1 - p, p, truth)
    assert (verdict.refused, verdict.excess) == (False, None)
    assert verdict.note == "only 5 rows are unknown to both"


@pytest.mark.parametrize(
    ("artifact", "note"),
    [
        (b"", "not a model artifact"),
        (encode(made_up_model(horizons=(1, 7))), "it has other horizons: 1, 7"),
        (encode(made_up_model(horizons=HORIZONS, spec="0" * 64)), "other features"),
    ],
    ids=["lost", "other horizons", "other features"],
)
def test_a_live_model_that_cannot_be_compared_is_no_rival(artifact: bytes, note: str) -> None:
    p, truth = world(100)
    unseen = Unseen(at=AT[:100], features=FEATURES[:100], truth=truth, p_up=p)
    verdict = judge(unseen, HORIZONS, artifact, "v1")
    assert not verdict.refused
    assert note in (verdict.note or "")
