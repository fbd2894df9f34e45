"""Whether the scores are true: `python -m tests.benchmarks.truth [SYMBOLS]`.

In markets that foretell nothing, and with labels of another market, the ROC AUC pooled over the
symbols is 0.5, and the intervals that are stated hold 0.5. With 50 symbols it takes some minutes;
the standard error of a pooled one is then 0.0037 times the root of the horizon, at most.
"""

import sys
from collections.abc import Iterable

import numpy as np

from services.trainer.domain.sample import Sample, sample
from services.trainer.domain.scores import roc_auc
from services.trainer.domain.validation import Validation
from shared.contracts.terms import ENSEMBLE
from tests.support.jobs import daily_job
from tests.support.judging import judged, mislabelled, validated
from tests.support.markets import planted_signal, random_walk

JOB = daily_job(days_back=1000, test_days=120, rounds=100)


def main(symbols: int) -> None:
    _report("random walks", (judged(JOB, random_walk(1120, seed=seed)) for seed in range(symbols)))
    _report("labels of others", (_mislabelled(seed) for seed in range(symbols)))


def _mislabelled(seed: int) -> tuple[Sample, Validation]:
    own, other = (
        sample(JOB, planted_signal(1120, strength=0.6, seed=each)) for each in (seed, seed + 1000)
    )
    known = mislabelled(own, other)
    return known, validated(known, JOB.plan.rounds)


def _report(name: str, symbols: Iterable[tuple[Sample, Validation]]) -> None:
    truth, said, held = [], [], []
    for known, validation in symbols:
        truth.append(known.labels[validation.unseen])
        said.append(validation.p_up)
        held.append(
            [
                score.roc_auc_interval[0] <= 0.5 <= score.roc_auc_interval[1]
                for score in validation.scores
                if score.learner == ENSEMBLE and score.roc_auc_interval
            ]
        )
    labels, p_up = np.concatenate(truth), np.concatenate(said)
    for place, horizon in enumerate(JOB.horizons):
        area = roc_auc(labels[:, place], p_up[:, place])
        covered = np.mean([each[place] for each in held])
        sys.stdout.write(f"{name}, horizon {horizon}: pooled {area:.4f}, covered {covered:.0%}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
