"""How good probabilities were, once the truth is known."""

from typing import Final

import numpy as np
import numpy.typing as npt

from services.trainer.domain.chance import Chance
from shared.contracts.records import Score
from shared.contracts.terms import Horizon
from shared.model.odds import logit, sigmoid

Vector = npt.NDArray[np.floating]

_CERTAIN: Final = 1e-7

#: Two-sided 95 %.
_Z: Final = 1.959964

#: Calibration is looked at in up to so many bins, of so many rows or more.
_BINS: Final = 10
_BIN_ROWS: Final = 30


def score(
    horizon: Horizon,
    learner: str,
    labels: Vector,
    probabilities: Vector,
    *,
    chance: Chance | None = None,
) -> Score:
    """All the numbers for one learner on the rows that it has not seen."""
    share = float(labels.mean(dtype=np.float64))
    area = roc_auc(labels, probabilities)
    return Score(
        horizon=horizon,
        learner=learner,
        roc_auc=area,
        roc_auc_interval=None if area is None else interval(area, labels, horizon),
        roc_auc_null=chance.mean if chance and area is not None else None,
        roc_auc_null_high=chance.high if chance and area is not None else None,
        log_loss=log_loss(labels, probabilities),
        brier=float(np.mean((probabilities - labels) ** 2, dtype=np.float64)),
        calibration_error=calibration_error(labels, probabilities),
        accuracy=float(((probabilities >= 0.5) == (labels > 0.5)).mean()),
        base_rate=max(share, 1.0 - share),
        up_share=share,
        rows=len(labels),
        effective_rows=len(labels) / horizon,
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


def interval(area: float, labels: Vector, horizon: Horizon) -> tuple[float, float]:
    """The 95 % interval of a ROC AUC.

    The standard error is Hanley's and McNeil's (Radiology 143, 1982), for as many rows of each
    class as do not share candles: rows / horizon. It is taken on the scale of log-odds, so that the
    bounds stay between 0 and 1. Returns that follow one another would widen it further; that is not
    counted.
    """
    risen = float((labels > 0.5).sum())
    ups, downs = max(risen / horizon, 1.0), max((len(labels) - risen) / horizon, 1.0)
    least = 0.5 / (ups * downs + 1.0)
    area = min(max(area, least), 1.0 - least)
    two_ups, two_downs = area / (2.0 - area), 2.0 * area**2 / (1.0 + area)
    variance = (
        area * (1.0 - area)
        + (ups - 1.0) * (two_ups - area**2)
        + (downs - 1.0) * (two_downs - area**2)
    ) / (ups * downs)
    reach = _Z * np.sqrt(variance) / (area * (1.0 - area))
    low, high = sigmoid(logit(np.array([area])) + np.array([-reach, reach]))
    return float(low), float(high)


def log_loss(labels: Vector, probabilities: Vector) -> float:
    """The mean negative log-likelihood, in nats."""
    return float(surprise(labels, probabilities).mean())


def surprise(labels: Vector, probabilities: Vector) -> npt.NDArray[np.float64]:
    """The negative log-likelihood of every label, in nats."""
    p = np.clip(probabilities.astype(np.float64), _CERTAIN, 1.0 - _CERTAIN)
    return -np.where(labels > 0.5, np.log(p), np.log1p(-p))


def calibration_error(labels: Vector, probabilities: Vector) -> float:
    """How far the share of risen rows was from what was said, on average over bins of rows that
    were given much the same.
    """
    order = np.argsort(probabilities, kind="stable")
    bins = min(max(len(labels) // _BIN_ROWS, 1), _BINS)
    gaps = np.array_split((labels - probabilities)[order].astype(np.float64), bins)
    return float(sum(abs(gap.sum()) for gap in gaps) / len(labels))
