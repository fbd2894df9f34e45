from collections.abc import Iterator

import numpy as np
import pytest

from services.trainer.domain.basic import Basic
from services.trainer.domain.boosters import MIN_MINORITY, Constant, boosters
from services.trainer.domain.learners import Booster, BoosterLearner, Learner, effort_for
from shared.model.features import Matrix

EFFORT = effort_for(400, rounds=60)


def _rows(seed: int, rows: int = 400) -> Matrix:
    return np.random.default_rng(seed).standard_normal((rows, 6)).astype(np.float32)


def _labels(rows: Matrix, *, noise: float = 0.5) -> np.ndarray:
    shaken = rows[:, 0] + noise * np.random.default_rng(9).standard_normal(len(rows))
    return (shaken > 0).astype(np.float32)


@pytest.fixture(scope="module")
def three() -> Iterator[tuple[BoosterLearner, ...]]:
    with boosters(_rows(0), EFFORT) as made:
        yield made


def test_every_learner_learns_what_is_there(three: tuple[BoosterLearner, ...]) -> None:
    train, new = _rows(0), _rows(1)
    everyone: tuple[Learner, ...] = (*three, Basic())
    for learner in everyone:
        said = learner.study(train).fit(_labels(train), rounds=60).probabilities(new)
        assert ((said > 0.5) == (new[:, 0] > 0)).mean() > 0.85, learner.name


def test_learning_stops_early_where_validation_rows_contradict(
    three: tuple[BoosterLearner, ...],
) -> None:
    train, valid = _rows(0), _rows(1, rows=100)
    for learner in three:
        study = learner.study(train, valid)
        borne_out = study.fit(_labels(train), _labels(valid), rounds=60)
        contradicted = study.fit(_labels(train), 1 - _labels(valid), rounds=60)
        assert 1 <= contradicted.rounds < 5 < borne_out.rounds <= 60, learner.name


def test_horizons_that_share_a_study_do_not_disturb_each_other(
    three: tuple[BoosterLearner, ...],
) -> None:
    train = _rows(0)
    one, other = _labels(train), 1 - _labels(train, noise=2.0)
    for learner in three:
        shared = learner.study(train)
        shared.fit(other, rounds=20)
        after = shared.fit(one, rounds=20).probabilities(train)
        alone = learner.study(train).fit(one, rounds=20).probabilities(train)
        assert np.array_equal(after, alone), learner.name


@pytest.mark.parametrize("minority", [0, MIN_MINORITY - 1])
def test_rows_of_one_class_teach_a_booster_the_rate_and_nothing_else(
    three: tuple[BoosterLearner, ...], minority: int
) -> None:
    train = _rows(0)
    labels = np.ones(len(train), np.float32)
    labels[:minority] = 0.0
    for learner in three:
        fitted: Booster = learner.study(train).fit(labels, rounds=60)
        assert fitted == Constant((401.0 - minority) / 402.0)


def test_the_basic_model_is_where_the_penalised_likelihood_is_flat() -> None:
    """At the optimum a small step in any weight changes the loss only in second order."""
    train = _rows(0)
    fitted = Basic().study(train).fit(_labels(train), rounds=1)
    scores = np.clip((train - train.mean(0)) / train.std(0), -5, 5)
    truth = (_labels(train) * 400 + 1) / 402

    def loss(weights: np.ndarray) -> float:
        p = 1 / (1 + np.exp(-(weights[0] + scores @ weights[1:])))
        likelihood = truth * np.log(p) + (1 - truth) * np.log(1 - p)
        return float(50.0 * (weights[1:] ** 2).sum() - likelihood.sum())

    for direction in np.eye(7):
        slope = (loss(fitted.weights + 1e-4 * direction) - loss(fitted.weights)) / 1e-4
        assert slope == pytest.approx(0.0, abs=0.05)


def test_a_feature_that_stands_still_is_worth_nothing_to_the_basic_model() -> None:
    train = _rows(0)
    train[:, 3] = 7.0
    fitted = Basic().study(train).fit(_labels(train), rounds=1)
    assert fitted.weights[4] == pytest.approx(0.0, abs=1e-12)
    assert np.all(np.isfinite(fitted.probabilities(train)))
