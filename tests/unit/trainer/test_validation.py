import dataclasses

import numpy as np
import pytest

from services.trainer import fit as fitting
from services.trainer.domain.basic import Basic
from services.trainer.domain.boosters import boosters
from services.trainer.domain.jobs import Inputs
from services.trainer.domain.learners import BoosterLearner, Effort, LabelTable, effort_for
from services.trainer.domain.sample import Sample, sample
from services.trainer.domain.slopes import Slope, Slopes
from services.trainer.domain.validation import Validation, validate
from shared.contracts.terms import ENSEMBLE
from shared.model.features import Matrix
from shared.model.odds import logit
from tests.support.jobs import daily_job
from tests.support.markets import planted_signal

JOB = daily_job(horizons=(1, 3), rounds=40)
CANDLES = planted_signal(700, strength=0.6)
SAMPLE = sample(JOB, CANDLES)
UNKNOWN_SLOPES: Slopes = {}


def _validated(known: Sample, slopes: Slopes = UNKNOWN_SLOPES) -> Validation:
    effort = effort_for(len(known.features), rounds=40)
    features, labels = known.features, known.labels
    learners = boosters(features, labels, effort, edges=known.folds[0].train)
    return validate(known, (*learners, Basic(features, labels)), 40, slopes, lambda part: None)


def test_nothing_is_learnt_from_the_rows_that_are_judged_by() -> None:
    """With the truth of the test block turned round, the same is foreseen, and is as wrong as it
    was right.
    """
    fold = SAMPLE.folds[1]
    known = dataclasses.replace(SAMPLE, folds=(fold,))
    labels = known.labels.copy()
    labels[fold.test.start :] = 1 - labels[fold.test.start :]
    plain, turned = _validated(known), _validated(dataclasses.replace(known, labels=labels))
    assert np.array_equal(plain.rounds, turned.rounds)
    for right, wrong in zip(plain.scores, turned.scores, strict=True):
        assert right.roc_auc is not None
        assert wrong.roc_auc == pytest.approx(1 - right.roc_auc)


def test_a_fold_is_the_same_whatever_comes_after_its_test_block() -> None:
    fold = SAMPLE.folds[0]
    known = dataclasses.replace(SAMPLE, folds=(fold,))
    features, labels = known.features.copy(), known.labels.copy()
    features[fold.test.stop :] = 1e3
    labels[fold.test.stop :] = 0.0
    altered = dataclasses.replace(known, features=features, labels=labels)
    assert _validated(altered).scores == _validated(known).scores


def test_progress_grows_fold_by_fold_to_the_whole() -> None:
    told: list[float] = []
    validate(SAMPLE, (Basic(SAMPLE.features, SAMPLE.labels),), 40, {}, told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_bins_of_the_validation_know_only_the_first_training_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[range] = []

    def watched(
        features: Matrix, labels: LabelTable, effort: Effort, *, edges: range
    ) -> tuple[BoosterLearner, ...]:
        seen.append(edges)
        return boosters(features, labels, effort, edges=edges)

    monkeypatch.setattr(fitting, "boosters", watched)
    fitting.fit(JOB, Inputs(candles=CANDLES.tobytes()), lambda *_: None)
    assert seen == [SAMPLE.folds[0].train, range(len(SAMPLE.features))]


def test_a_fold_is_blended_by_labels_that_were_known_when_it_began() -> None:
    """What became of rows whose labels end behind the first candle of the block plays no part."""
    first, second = SAMPLE.folds[:2]
    known = dataclasses.replace(SAMPLE, folds=(first, second))
    begun = second.test.start - SAMPLE.horizons[-1]
    labels = known.labels.copy()
    labels[begun:] = 1 - labels[begun:]
    turned = _validated(dataclasses.replace(known, labels=labels))
    plain = _validated(known)
    assert np.array_equal(turned.p_up, plain.p_up)
    assert not np.array_equal(turned.blend.slope, plain.blend.slope)


def test_the_first_block_is_scored_by_what_others_bear_out() -> None:
    known = dataclasses.replace(SAMPLE, folds=SAMPLE.folds[:1])
    shy, bold = (
        _validated(known, {h: Slope(mean=mean, spread=0.1) for h in known.horizons}).p_up
        for mean in (0.5, 1.0)
    )
    assert logit(bold) == pytest.approx(2.0 * logit(shy))


def test_the_ensemble_alone_says_what_its_rows_say_of_the_slope() -> None:
    for score in _validated(SAMPLE).scores:
        assert (score.slope_error is not None) == (score.learner == ENSEMBLE)


def test_later_blocks_are_scored_by_what_the_first_one_taught() -> None:
    known = dataclasses.replace(SAMPLE, folds=SAMPLE.folds[:2])
    alone = _validated(dataclasses.replace(SAMPLE, folds=SAMPLE.folds[1:2]))
    both = _validated(known)
    block = len(known.folds[0].test)
    assert not np.allclose(both.p_up[block:], alone.p_up)  # by itself, it is a first block
