"""A symbol's validation, as its training does it, without the rest of the training."""

from dataclasses import replace

from services.trainer.domain.basic import Basic
from services.trainer.domain.boosters import boosters
from services.trainer.domain.jobs import FitJob
from services.trainer.domain.learners import Learner, effort_for
from services.trainer.domain.sample import Sample, sample
from services.trainer.domain.slopes import Slopes
from services.trainer.domain.validation import Validation, validate
from shared.model.candles import Candles


def judged(job: FitJob, candles: Candles) -> tuple[Sample, Validation]:
    known = sample(job, candles)
    return known, validated(known, job.plan.rounds, job.slopes)


def validated(known: Sample, rounds: int, slopes: Slopes | None = None) -> Validation:
    effort = effort_for(len(known.features), rounds=rounds)
    features, labels = known.features, known.labels
    learners = boosters(features, labels, effort, edges=known.folds[0].train)
    everyone: tuple[Learner, ...] = (*learners, Basic(features, labels))
    return validate(known, everyone, effort.rounds, slopes or {}, lambda part: None)


def mislabelled(known: Sample, other: Sample) -> Sample:
    """The same rows with the labels of another market, which overlap as much as their own did.

    Not its own labels in another order: those keep the market's share of rises, which can be learnt
    from the one part and is true of the other.
    """
    return replace(known, labels=other.labels)
