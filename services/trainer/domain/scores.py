"""How good probabilities were, once the truth is known."""

from typing import Final

import numpy as np
import numpy.typing as npt

from services.trainer.domain.chance import Chance
from services.trainer.domain.evidence import student
from services.trainer.domain.slopes import Slope
from shared.contracts.quality import Reliability
from shared.contracts.records import Score
from shared.contracts.terms import ENSEMBLE, Horizon
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
    slope: Slope | None = None,
) -> Score:
    """All the numbers for one learner on the rows that it has not seen, in the order of time;
    `slope` is what they say of the ensemble's calibration.
    """
    share = float(labels.mean(dtype=np.float64))
    area = roc_auc(labels, probabilities)
    return Score(
        horizon=horizon,
        learner=learner,
        roc_auc=area,
        roc_auc_interval=None if area is None else interval(area, labels, probabilities),
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
        slope=slope.mean if slope else None,
        slope_error=slope.spread if slope else None,
        reliability=reliability(labels, probabilities) if learner == ENSEMBLE else (),
    )


def roc_auc(labels: Vector, probabilities: Vector) -> float | None:
    """The chance that a risen row was given more than a fallen one; ties count half.

    Mann-Whitney's U over the number of pairs, from mid-ranks. None when there is one class only.
    """
    risen = labels > 0.5
    ups, downs = int(risen.sum()), int((~risen).sum())
    if not ups or not downs:
        return None
    return float((_ranks(probabilities)[risen].sum() - ups * (ups + 1) / 2.0) / (ups * downs))


def interval(area: float, labels: Vector, probabilities: Vector) -> tuple[float, float]:
    """The 95 % interval of a ROC AUC over rows in the order of time.

    The standard error is Hanley's and McNeil's (Radiology 143, 1982) for as many rows of each class
    as the rows are worth together, with Student's t. It is taken on the scale of log-odds, so that
    the bounds stay between 0 and 1.
    """
    worth = independent_rows(labels, probabilities)
    share = float(labels.mean(dtype=np.float64))
    ups, downs = max(worth * share, 1.0), max(worth * (1.0 - share), 1.0)
    least = 0.5 / (ups * downs + 1.0)  # half a pair: 0 and 1 have no log-odds
    area = min(max(area, least), 1.0 - least)
    two_ups, two_downs = area / (2.0 - area), 2.0 * area**2 / (1.0 + area)
    variance = (
        area * (1.0 - area)
        + (ups - 1.0) * (two_ups - area**2)
        + (downs - 1.0) * (two_downs - area**2)
    ) / (ups * downs)
    reach = student(_Z, max(worth - 1.0, 1.0)) * np.sqrt(variance) / (area * (1.0 - area))
    low, high = sigmoid(logit(np.array([area])) + np.array([-reach, reach]))
    return float(low), float(high)


def independent_rows(labels: Vector, probabilities: Vector) -> float:
    """How many rows that tell nothing of each other would rank as reliably as these do.

    Labels that overlap, returns that follow one another and forecasts that change slowly all make
    it fewer, and only together: labels that overlap in full lose nothing under forecasts that are
    new on every row. So what is looked at is the ROC AUC itself, with the forecasts shifted in time
    against the labels, round the end, by every number of rows: that breaks what they have to do
    with each other and keeps the order of each. Its variance over the shifts stands against that
    over shuffled rows, which is Mann-Whitney's. A Fourier transform makes all shifts at once.
    """
    rows = len(labels)
    ranks = _ranks(probabilities) - (rows + 1) / 2.0
    risen = labels - labels.mean(dtype=np.float64)
    shifted = np.fft.irfft(np.fft.rfft(risen) * np.fft.rfft(ranks).conj(), rows)
    variance = float((shifted**2).mean())
    shuffled = float((risen**2).sum() * (ranks**2).sum()) / (rows - 1)
    return rows * shuffled / max(variance, shuffled) if shuffled else float(rows)


def _ranks(values: Vector) -> npt.NDArray[np.float64]:
    """From 1, and the mean of their places where some are equal."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: npt.NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2.0)[place]
    return ranks


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


def reliability(labels: Vector, probabilities: Vector) -> tuple[Reliability, ...]:
    """Ten bins of equal width: what was said in each, and what became of it."""
    place = np.minimum((probabilities * 10.0).astype(np.intp), 9)
    counts, said, ups = (
        np.bincount(place, weights, minlength=10)
        for weights in (None, probabilities.astype(np.float64), labels > 0.5)
    )
    return tuple(
        Reliability(forecasts=int(count), p_up_sum=round(float(p_up), 6), ups=int(risen))
        for count, p_up, risen in zip(counts, said, ups, strict=True)
    )
