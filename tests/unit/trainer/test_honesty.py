"""What the scores say of markets that hold nothing, and the gate of models that learnt nothing."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from services.trainer.domain.jobs import Inputs
from services.trainer.domain.sample import Sample, sample
from services.trainer.domain.scores import roc_auc
from services.trainer.domain.validation import Validation
from services.trainer.fit import fit
from shared.contracts.records import Verdict
from shared.contracts.terms import ENSEMBLE
from shared.model.artifact import decode
from shared.model.candles import Candles
from tests.support.jobs import daily_job
from tests.support.judging import judged, mislabelled, validated
from tests.support.markets import planted_signal, random_walk

JOB = daily_job(horizons=(1,), days_back=700, test_days=120, rounds=20)
SYMBOLS = 10


def _walk(seed: int) -> tuple[Sample, Validation]:
    return judged(JOB, random_walk(820, seed=seed))


def _labels_of_another(seed: int) -> tuple[Sample, Validation]:
    known = mislabelled(sample(JOB, _market(seed=seed)), sample(JOB, _market(seed=seed + 1000)))
    return known, validated(known, JOB.plan.rounds)


@pytest.mark.parametrize("market", [_walk, _labels_of_another])
def test_where_nothing_can_be_foretold_the_scores_say_so(
    market: Callable[[int], tuple[Sample, Validation]],
) -> None:
    found = [market(seed) for seed in range(SYMBOLS)]
    truth = np.concatenate([known.labels[each.unseen, 0] for known, each in found])
    said = np.concatenate([each.p_up[:, 0] for _, each in found])
    assert roc_auc(truth, said) == pytest.approx(0.5, abs=0.02)
    intervals = [
        score.roc_auc_interval
        for _, each in found
        for score in each.scores
        if score.learner == ENSEMBLE and score.roc_auc_interval
    ]
    covered = sum(low <= 0.5 <= high for low, high in intervals)
    assert covered >= 8  # 7 or fewer of 10 has a chance of 1 % at 95 %


@pytest.fixture(scope="module")
def live() -> bytes:
    return fit(JOB, Inputs(candles=_market().tobytes()), lambda *_: None).artifact


def _market(*, seed: int = 0) -> Candles:
    return planted_signal(820, strength=0.6, seed=seed)


def _successor(candles: Candles, live: bytes) -> Verdict:
    inputs = Inputs(candles=candles.tobytes(), rival=live)
    verdict = fit(replace(JOB, live="v1"), inputs, lambda *_: None).verdict
    assert verdict is not None
    return verdict


def test_a_model_trained_again_on_the_same_candles_passes(live: bytes) -> None:
    verdict = _successor(_market(), live)
    assert not verdict.refused
    assert verdict.rows == len(decode(live).trial.at)
    assert verdict.excess == pytest.approx(0.0, abs=1e-6)


def test_a_model_of_candles_that_lost_what_foretold_is_refused(live: bytes) -> None:
    candles = _market()
    candles["volume"] = np.random.default_rng(0).permutation(candles["volume"])
    verdict = _successor(candles, live)
    assert verdict.refused
    assert verdict.excess is not None
    assert verdict.excess > 0.02


def test_a_first_model_has_no_rival() -> None:
    assert fit(JOB, Inputs(candles=_market().tobytes()), lambda *_: None).verdict is None


def test_a_model_says_what_is_served_as_its_validation_learnt_it(live: bytes) -> None:
    model = decode(live)
    _, validation = judged(JOB, _market())
    assert np.array_equal(model.blend.weights, validation.blend.weights)
    assert np.array_equal(model.blend.slope, validation.blend.slope)
    assert np.array_equal(model.trial.p_up, validation.p_up[-500:].astype(np.float32))
