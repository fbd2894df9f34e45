"""What the whole training finds in markets whose truth is known."""

import numpy as np
import pytest

from services.trainer.domain.jobs import FitResult, Inputs
from services.trainer.fit import fit
from tests.support.jobs import daily_job
from tests.support.markets import planted_signal, random_walk


def _ensemble_auc(result: FitResult, horizon: int) -> float:
    (auc,) = (
        score.roc_auc
        for score in result.scores
        if (score.horizon, score.learner) == (horizon, "ensemble")
    )
    assert auc is not None
    return auc


def test_a_planted_signal_is_found_in_rows_that_were_not_learnt_from() -> None:
    candles = planted_signal(2000, strength=0.6)
    job = daily_job(horizons=(1, 3), days_back=1800, test_days=250, rounds=60)
    result = fit(job, Inputs(candles=candles.tobytes()), lambda *_: None)
    assert _ensemble_auc(result, 1) > 0.65
    assert _ensemble_auc(result, 3) > 0.65


def test_random_walks_foretell_nothing() -> None:
    """The mean over symbols; one symbol's own ROC AUC strays by 0.02 here."""
    job = daily_job(horizons=(1,), days_back=1000, test_days=200, rounds=20)
    aucs = [
        _ensemble_auc(
            fit(job, Inputs(candles=random_walk(1100, seed=seed).tobytes()), lambda *_: None), 1
        )
        for seed in range(6)
    ]
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.025)
