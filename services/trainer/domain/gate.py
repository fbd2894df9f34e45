"""Whether a new model may take the place of the live one."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from services.trainer.domain.evidence import MIN_BLOCKS, lower_bound
from services.trainer.domain.scores import surprise
from shared.contracts.errors import ArtifactRefused
from shared.contracts.records import Verdict
from shared.contracts.terms import Horizon
from shared.model.artifact import Model, decode
from shared.model.features import Matrix
from shared.model.forecast import probabilities

#: In nats per row. A ROC AUC of 0.556 is worth about as much over one of 0.5.
MARGIN: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Rows that the new model's validation foretold, oldest first: `at` their open times in ms,
    `features` [rows, features], `truth` and `p_up` [rows, horizons].
    """

    at: npt.NDArray[np.int64]
    features: Matrix
    truth: npt.NDArray[np.float32]
    p_up: npt.NDArray[np.float64]


def judge(unseen: Unseen, horizons: tuple[Horizon, ...], artifact: bytes, live: str) -> Verdict:
    """Compare, row by row, what the new and the live model foretold of rows unknown to them.

    For candles later than its own, the live model is asked; for those that it was fitted on in the
    end, what counts is what its validation foretold. The loss of a row is averaged over the
    horizons that the rows are enough for. A live model that cannot be read, or that foretells
    something else, is no rival.
    """
    try:
        rival = decode(artifact)
        if rival.card.horizons != horizons:
            its = ", ".join(map(str, rival.card.horizons))
            return _unjudged(live, f"it has other horizons: {its}")
        rows, theirs = _foretold(rival, unseen)
    except ArtifactRefused as exc:
        return _unjudged(live, str(exc))
    kept = tuple(horizon for horizon in horizons if len(rows) >= MIN_BLOCKS * horizon)
    if not kept:
        return _unjudged(live, f"only {len(rows)} rows are unknown to both")
    ours = surprise(unseen.truth[rows], unseen.p_up[rows])
    excess = (ours - surprise(unseen.truth[rows], theirs))[:, : len(kept)].mean(axis=1)
    return Verdict(
        live_version=live,
        horizons=kept,
        rows=len(rows),
        excess=float(excess.mean()),
        excess_low=lower_bound(excess, kept[-1]),
        margin=MARGIN,
    )


def _foretold(rival: Model, unseen: Unseen) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Which rows the rival has foretold without knowing them, and what: [those, horizons]."""
    _, recorded, places = np.intersect1d(
        unseen.at, rival.trial.at, assume_unique=True, return_indices=True
    )
    later = np.flatnonzero(unseen.at > rival.card.candle_at_ms)
    asked = probabilities(rival, unseen.features[later]).p_up
    rows = np.concatenate([recorded, later])
    return rows, np.concatenate([rival.trial.p_up[places].astype(np.float64), asked])


def _unjudged(live: str, note: str) -> Verdict:
    return Verdict(live_version=live, margin=MARGIN, note=note)
