"""How good probabilities were, once the truth is known."""

import numpy as np
import numpy.typing as npt

from shared.contracts.records import Score
from shared.contracts.terms import Horizon

Vector = npt.NDArray[np.floating]

_CERTAIN = 1e-7


def score(horizon: Horizon, learner: str, labels: Vector, probabilities: Vector) -> Score:
    """All the numbers for one learner on the rows that it has not seen."""
    share = float(labels.mean(dtype=np.float64))
    return Score(
        horizon=horizon,
        learner=learner,
        roc_auc=roc_auc(labels, probabilities),
        log_loss=log_loss(labels, probabilities),
        accuracy=float(((probabilities >= 0.5) == (labels > 0.5)).mean()),
        base_rate=max(share, 1.0 - share),
        rows=len(labels),
    )


def roc_auc(labels: Vector, probabilities: Vector) -> float | None:
    """The chance that a risen row was given more than a fallen one; ties count half.

    Mann-Whitney's U over the number of pairs, from mid-ranks. None when there is one class only.
    """
    risen = labels > 0.5
    ups, downs = int(risen.sum()), int((~risen).sum())
    if not ups or not downs:
        return None
    _, place, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[place]
    return float((ranks[risen].sum() - ups * (ups + 1) / 2.0) / (ups * downs))


def log_loss(labels: Vector, probabilities: Vector) -> float:
    """The mean negative log-likelihood, in nats."""
    p = np.clip(probabilities.astype(np.float64), _CERTAIN, 1.0 - _CERTAIN)
    return float(-np.where(labels > 0.5, np.log(p), np.log1p(-p)).mean())
