"""How well learners foresee rows that they have not seen, and after how many rounds best."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.trainer.domain.blending import blended, own_slopes
from services.trainer.domain.chance import chance
from services.trainer.domain.folds import Fold
from services.trainer.domain.learners import Learner
from services.trainer.domain.sample import Sample
from services.trainer.domain.scores import score
from services.trainer.domain.slopes import Slope, Slopes
from shared.contracts.records import Score
from shared.contracts.terms import ENSEMBLE, Horizon
from shared.model.blend import Blend


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What came of it. `unseen` are the rows of the test blocks, and `p_up` [those, horizons] what
    was foretold of them with the weights and the calibration that were known by then; `scores` are
    every learner's, and those of `p_up` as `ensemble`, for every horizon.

    For the final model: `rounds` [horizons, learners], and the blend that all test blocks bear out.
    """

    unseen: npt.NDArray[np.intp]
    p_up: npt.NDArray[np.float64]
    scores: tuple[Score, ...]
    rounds: npt.NDArray[np.int64]
    blend: Blend


def validate(
    sample: Sample,
    learners: tuple[Learner, ...],
    rounds: int,
    slopes: Slopes,
    done: Callable[[float], None],
) -> Validation:
    """Walk forward through the sample's folds. `slopes` are what is expected of the calibration.

    The final fit sees more rows than any fold did and so bears more rounds: a tenth more than the
    mean of the folds. `done` is told the part that is done, from 0 to 1.
    """
    judged, kept = [], []
    for number, fold in enumerate(sample.folds, 1):
        foreseen, best = _judge(sample, fold, learners, rounds)
        judged.append(foreseen)
        kept.append(best)
        done(number / len(sample.folds))
    unseen = np.concatenate([np.arange(fold.test.start, fold.test.stop) for fold in sample.folds])
    by_learner, truth = np.concatenate(judged), sample.labels[unseen]
    p_up = _as_served(sample, judged, slopes)
    blend = blended(by_learner, truth, sample.horizons, slopes)
    own = own_slopes(by_learner, truth, sample.horizons, blend)
    return Validation(
        unseen=unseen,
        p_up=p_up,
        scores=_scores(sample.horizons, learners, truth, by_learner, p_up, own),
        rounds=np.ceil(np.mean(kept, axis=0) * 1.1).astype(np.int64),
        blend=blend,
    )


def _judge(
    sample: Sample, fold: Fold, learners: tuple[Learner, ...], rounds: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Probabilities [test rows, horizons, learners] and rounds [horizons, learners] of one fold."""
    test = sample.features[fold.test.start : fold.test.stop]
    foreseen = np.empty((len(fold.test), len(sample.horizons), len(learners)))
    best = np.empty(foreseen.shape[1:], np.int64)
    for column, learner in enumerate(learners):
        study = learner.study(fold.train, fold.valid)
        for row in range(len(sample.horizons)):
            fitted = study.fit(row, rounds=rounds)
            foreseen[:, row, column] = fitted.probabilities(test)
            best[row, column] = fitted.rounds
    return foreseen, best


def _as_served(
    sample: Sample, judged: list[npt.NDArray[np.float64]], slopes: Slopes
) -> npt.NDArray[np.float64]:
    """What each fold's ensemble would have said: blended by what the folds before it had shown, as
    far as their labels were known when its test block began.
    """
    by_learner, first = np.concatenate(judged), sample.folds[0].test.start
    served = []
    for fold, foreseen in zip(sample.folds, judged, strict=True):
        known = max(fold.test.start - sample.horizons[-1] - first, 0)
        truth = sample.labels[first : first + known]
        blend = blended(by_learner[:known], truth, sample.horizons, slopes)
        served.append(blend.p_up(foreseen))
    return np.concatenate(served)


def _scores(
    horizons: tuple[Horizon, ...],
    learners: tuple[Learner, ...],
    truth: npt.NDArray[np.float32],
    by_learner: npt.NDArray[np.float64],
    p_up: npt.NDArray[np.float64],
    own: tuple[Slope | None, ...],
) -> tuple[Score, ...]:
    names = (*(learner.name for learner in learners), ENSEMBLE)
    everyone = np.concatenate([by_learner, p_up[:, :, None]], axis=2)
    by_chance = [chance(len(truth), horizon) for horizon in horizons]
    return tuple(
        score(
            horizon,
            name,
            truth[:, row],
            everyone[:, row, column],
            chance=by_chance[row],
            slope=own[row] if name == ENSEMBLE else None,
        )
        for row, horizon in enumerate(horizons)
        for column, name in enumerate(names)
    )
