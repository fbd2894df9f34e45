"""A symbol's validation, as its training does it, without the rest of the training."""

from dataclasses import replace

import numpy as np

from services.trainer.domain.basic import Basic
from services.trainer.domain.boosters import boosters
from services.trainer.domain.jobs import FitJob
from services.trainer.domain.learners import effort_for
from services.trainer.domain.sample import Sample, sample
from services.trainer.domain.validation import Validation, validate
from shared.model.candles import Candles


def judged(job: FitJob, candles: Candles) -> tuple[Sample, Validation]:
    known = sample(job, candles)
    return known, validated(known, job.plan.rounds)


def validated(known: Sample, rounds: int) -> Validation:
    effort = effort_for(len(known.features), rounds=rounds)
    with boosters(known.features[: known.folds[0].train.stop], effort) as learners:
        return validate(known, (*learners, Basic()), effort.rounds, lambda part: None)


def shuffled(known: Sample, *, seed: int) -> Sample:
    """The same rows with the labels of others."""
    return replace(known, labels=np.random.default_rng(seed).permutation(known.labels))
