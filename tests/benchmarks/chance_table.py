"""Makes the table of `services.trainer.domain.chance`: `python -m tests.benchmarks.chance_table`.

Random walks, judged as any symbol is. It takes a quarter of an hour of one core; the standard error
of a cell's mean is its spread / 1.6 / sqrt(walks).
"""

import sys
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from shared.contracts.terms import ENSEMBLE
from tests.support.jobs import daily_job
from tests.support.judging import judged
from tests.support.markets import random_walk

#: Days of the window, rows of a test block, walks.
CELLS = (
    (164, 14, 200),
    (200, 10, 100),
    (250, 14, 100),
    (730, 30, 100),
    (1500, 120, 50),
    (4000, 480, 30),
)


def main() -> None:
    for window, test_days, walks in CELLS:
        rows, areas = cell(window, test_days, range(walks))
        means = np.nanmean(areas, axis=0)
        spreads = np.nanquantile(areas, 0.95, axis=0) - means
        sys.stdout.write(f"    {rows}: ({_numbers(means)}, {_numbers(spreads)}),\n")
        sys.stdout.flush()


def cell(window: int, test_days: int, seeds: Iterable[int]) -> tuple[int, npt.NDArray[np.float64]]:
    """The test rows, and the ensemble's ROC AUC, NaN where there is none: [walks, horizons]."""
    job = daily_job(days_back=window, min_days=1, test_days=test_days)
    validations = [judged(job, random_walk(window + 120, seed=10_000 + seed))[1] for seed in seeds]
    areas = [
        [score.roc_auc for score in each.scores if score.learner == ENSEMBLE]
        for each in validations
    ]
    return len(validations[0].unseen), np.array(areas, np.float64)


def _numbers(values: npt.NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in values) + ")"


if __name__ == "__main__":
    main()
