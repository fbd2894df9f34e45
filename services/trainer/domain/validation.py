"""How well learners foresee rows that they have not seen, and after how many rounds best."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.trainer.domain.folds import Fold
from services.trainer.domain.learners import Learner
from services.trainer.domain.sample import Sample
from services.trainer.domain.scores import score
from shared.contracts.records import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """`scores` of every learner and of their mean, `ensemble`, for every horizon; `rounds`
    [horizons, learners] are those to give the final fit.
    """

    scores: tuple[Score, ...]
    rounds: npt.NDArray[np.int64]


def validate(
    sample: Sample, learners: tuple[Learner, ...], rounds: int, done: Callable[[float], None]
) -> Validation:
    """Walk forward through the sample's folds.

    The final fit sees more rows than any fold did and so bears more rounds: a tenth more than the
    mean of the folds. `done` is told the part that is done, from 0 to 1.
    """
    judged, kept = [], []
    for number, fold in enumerate(sample.folds, 1):
        foreseen, best = _judge(sample, fold, learners, rounds)
        judged.append(foreseen)
        kept.append(best)
        done(number / len(sample.folds))
    unseen = np.concatenate([np.arange(len(sample.labels))[fold.test] for fold in sample.folds])
    return Validation(
        scores=_scores(sample, learners, sample.labels[unseen], np.concatenate(judged)),
        rounds=np.ceil(np.mean(kept, axis=0) * 1.1).astype(np.int64),
    )


def _judge(
    sample: Sample, fold: Fold, learners: tuple[Learner, ...], rounds: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Probabilities [test rows, horizons, learners] and rounds [horizons, learners] of one fold."""
    features, labels = sample.features, sample.labels
    train, valid, test = (slice(r.start, r.stop) for r in (fold.train, fold.valid, fold.test))
    foreseen = np.empty((len(fold.test), len(sample.horizons), len(learners)))
    best = np.empty(foreseen.shape[1:], np.int64)
    for column, learner in enumerate(learners):
        study = learner.study(features[train], features[valid])
        for row in range(len(sample.horizons)):
            truth = np.ascontiguousarray(labels[:, row])
            fitted = study.fit(truth[train], truth[valid], rounds=rounds)
            foreseen[:, row, column] = fitted.probabilities(features[test])
            best[row, column] = fitted.rounds
    return foreseen, best


def _scores(
    sample: Sample,
    learners: tuple[Learner, ...],
    truth: npt.NDArray[np.float32],
    foreseen: npt.NDArray[np.float64],
) -> tuple[Score, ...]:
    names = (*(learner.name for learner in learners), "ensemble")
    everyone = np.concatenate([foreseen, foreseen.mean(axis=2, keepdims=True)], axis=2)
    return tuple(
        score(horizon, name, truth[:, row], everyone[:, row, column])
        for row, horizon in enumerate(sample.horizons)
        for column, name in enumerate(names)
    )
