"""Whether the market still is what a model has learned, feature by feature.

Neighbouring rows share most of what they are made of, and calm and wild weeks follow each other
without anything being new. So rows are not compared with rows: the candles that the model was
trained on are cut into blocks as long as the recent window, and their spread says how far apart two
stretches of the same market are. Of each block it is looked at where the feature's values stand
among all, and how far they reach; the recent window's are held against the blocks' by Student's t
for one more value. `tests/benchmarks/drift.py` counts the false alarms.
"""

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from services.trainer.domain.jobs import DriftJob, Inputs
from services.trainer.domain.natives import decode_base
from shared.contracts.errors import NotEnoughHistory
from shared.contracts.quality import DriftMeasurement, FeatureDrift
from shared.model.candles import Candles, view
from shared.model.features import NAMES, Matrix, matrix
from shared.model.history import WARMUP
from shared.model.splits import adjusted
from shared.model.student import two_sided

Table = npt.NDArray[np.float64]

#: Fewer rows tell nothing of a market: the features look back 100.
MIN_RECENT: Final = 50

#: What was learned is at least so many times as long as what is compared with it.
MIN_BLOCKS: Final = 12

#: Blocks that hold calm and wild weeks stray further than normal ones now and then. So many degrees
#: of freedom less make up for it, far out, where few blocks are all there is.
_HEAVIER: Final = 2

#: Of all features, those that moved most are told.
_TOLD: Final = 5

#: What the calendar says is not the market's doing, and differs between any two weeks.
_WATCHED: Final = tuple(
    place for place, name in enumerate(NAMES) if not name.startswith(("day_", "week_"))
)

_BINS: Final = 10
#: By custom a PSI below this is no change, however many rows say so.
_LEAST_PSI: Final = 0.1
#: The quantile of chi-square with 9 degrees of freedom that is exceeded once in 20 families of as
#: many features as there are.
_CHI_SQUARE: Final = 28.4


def measure(job: DriftJob, inputs: Inputs) -> DriftMeasurement:
    """Hold the candles since the training against those of the training, with splits undone.

    Raises:
        CandlesRefused: candles that no feature can be computed from.
        ArtifactRefused: the file of the full model that an update goes back to is damaged.
        NotEnoughHistory: too few candles since then, or too few before.
    """
    candles, _ = adjusted(view(inputs.candles))
    reference, recent = _windows(_full(job, inputs.base), candles)
    blocks = len(reference) // len(recent)
    rows = np.concatenate([reference[-blocks * len(recent) :], recent])
    table = ranks(rows).reshape(blocks + 1, len(recent), -1)
    p_values = feature_p_values(table)
    moved = np.argsort(p_values, kind="stable")[:_TOLD]
    return DriftMeasurement(
        symbol=job.symbol,
        model_version=job.model_version,
        reference_rows=len(reference),
        recent_rows=len(recent),
        p_value=min(1.0, float(p_values.min()) * len(p_values)),
        features=tuple(
            _feature(
                NAMES[_WATCHED[column]],
                reference[:, column],
                recent[:, column],
                table[:-1, :, column],
                float(p_values[column]),
            )
            for column in moved
        ),
    )


def ranks(rows: Matrix) -> Table:
    """Each column's places among themselves, from -0.5 to 0.5; equal values share the mean one."""
    columns = np.empty((rows.shape[1], len(rows)))
    for column, values in zip(columns, rows.T, strict=True):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        column[:] = (np.cumsum(counts) - (counts + 1) / 2.0 + 0.5)[place] / len(values) - 0.5
    return columns.T


def feature_p_values(table: Table) -> npt.NDArray[np.float64]:
    """How often the last block would be so far from the others without drift, for each column of
    `table` [blocks, rows, columns]: the smaller p-value of the two that are looked at, doubled.
    """
    looked_at = np.stack([table.mean(axis=1), np.abs(table).mean(axis=1)])
    before, last = looked_at[:, :-1], looked_at[:, -1]
    blocks = before.shape[1]
    spread = before.std(axis=1, ddof=1) * np.sqrt(1.0 + 1.0 / blocks)
    distance = np.zeros_like(spread)
    np.divide(np.abs(last - before.mean(axis=1)), spread, out=distance, where=spread > 0.0)
    freedom = blocks - 1 - _HEAVIER
    return np.array([min(1.0, 2.0 * two_sided(t, freedom)) for t in distance.max(axis=0)])


def _full(job: DriftJob, base: bytes) -> DriftJob:
    """The job of the full model in this file; of none, the job as it is."""
    if not base:
        return job
    card = decode_base(base).model.card
    return replace(
        job, rows=card.rows, candle_at_ms=card.candle_at_ms, longest_horizon=max(card.horizons)
    )


def _windows(job: DriftJob, candles: Candles) -> tuple[Matrix, Matrix]:
    """The rows that the model learned from, and the newest ones that it cannot have seen."""
    at = candles["at"][WARMUP:]
    table = matrix(candles)[:, _WATCHED]
    seen = int((at <= job.candle_at_ms).sum())
    labelled = max(seen - job.longest_horizon, 0)
    reference = table[max(labelled - job.rows, 0) : labelled]
    since = len(table) - seen
    compared = min(since, len(reference) // MIN_BLOCKS)
    if compared < MIN_RECENT:
        raise NotEnoughHistory(
            f"{since} candles of {job.symbol} since its training, which knew {len(reference)}: "
            f"{MIN_RECENT} and {MIN_RECENT * MIN_BLOCKS} are needed to tell drift"
        )
    return reference, table[-compared:]


def _feature(
    name: str, reference: Matrix, recent: Matrix, blocks: Table, p_value: float
) -> FeatureDrift:
    rows = len(recent)
    # Rows that depend on their neighbours tell as much as so many times fewer.
    shared = max(float(blocks.mean(axis=1).var(ddof=1)) * 12.0 * rows, 1.0)
    noise = shared * (1.0 / rows + 1.0 / len(reference)) * _CHI_SQUARE
    return FeatureDrift(
        feature=name,
        psi=psi(reference, recent),
        psi_threshold=max(noise, _LEAST_PSI),
        ks=ks(reference, recent),
        p_value=p_value,
    )


def psi(reference: Matrix, recent: Matrix) -> float:
    """The population stability index over the reference's deciles. Half a row more in each bin
    keeps an empty one from making it infinite. Thresholds: Yurdakul, "Statistical properties of the
    population stability index", 2018.
    """
    edges = np.unique(np.quantile(reference, np.linspace(0.0, 1.0, _BINS + 1)[1:-1]))
    shares = [
        (np.bincount(np.searchsorted(edges, values, "right"), minlength=len(edges) + 1) + 0.5)
        / (len(values) + 0.5 * (len(edges) + 1))
        for values in (reference, recent)
    ]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def ks(reference: Matrix, recent: Matrix) -> float:
    """Kolmogorov's and Smirnov's greatest distance between the two distributions."""
    every = np.sort(np.concatenate([reference, recent]))
    below = [
        np.searchsorted(np.sort(values), every, "right") / len(values)
        for values in (reference, recent)
    ]
    return float(np.abs(below[0] - below[1]).max())
