"""An incremental training: the last full model brought up to date on recent rows.

    |----------- recent -----------|purge|-- block --|      judged on: fitted without the block
          |----------- recent -------------------|purge|    served: up to the last label

It costs a fraction of a full training, because nothing is searched for: trees, rounds, weights and
calibration are those of the full model, the base. So it can only be as good as the base is fit for
the market; when it is not any more, the update says that it is time for a full training.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from services.trainer.domain import gate, packing
from services.trainer.domain.basic import BasicFitted, Ridge
from services.trainer.domain.boosters import versions
from services.trainer.domain.chance import chance
from services.trainer.domain.evidence import MIN_BLOCKS, lower_bound
from services.trainer.domain.jobs import FitJob, FitResult, Progress
from services.trainer.domain.labels import returns_ahead, rises
from services.trainer.domain.learners import Booster, Fitted, LabelTable, Refresher
from services.trainer.domain.natives import Base, decode_base
from services.trainer.domain.outlooks import Past, outlooks
from services.trainer.domain.refreshers import refreshers
from services.trainer.domain.sample import rows_of_days
from services.trainer.domain.scores import score, surprise
from services.trainer.domain.slopes import borne_out
from services.trainer.domain.soundness import check_packed, sound_artifact
from shared.contracts.errors import ArtifactRefused
from shared.contracts.records import Score, Verdict
from shared.contracts.terms import ENSEMBLE, Horizon, Mode
from shared.model.artifact import Card, Model
from shared.model.candles import Candles
from shared.model.features import SPEC, Matrix, matrix
from shared.model.forecast import probabilities
from shared.model.history import WARMUP
from shared.model.linear import Linear
from shared.model.reach import atr_pct
from shared.model.trial import Trial

#: In nats per row: an update that loses more asks for a full training.
MARGIN: Final = 0.01

Foretold = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Recent:
    """The rows that an update looks at, oldest first: `at` [rows], open times in ms; `features`
    [rows, features]; `labels` [rows, horizons], of which the last `horizon` rows of a column are
    not known and mean nothing. `window` rows are learnt from; `unseen` are newer than the base.
    """

    at: npt.NDArray[np.int64]
    features: Matrix
    labels: LabelTable
    horizons: tuple[Horizon, ...]
    window: int
    unseen: int

    def block(self, most: int) -> slice:
        """The rows to judge on: the newer half of those that the base has not seen, of which all
        labels are known; at most `most`. The older half is for the update to learn from.
        """
        known = len(self.at) - self.horizons[-1]
        judged = min(max(known - (len(self.at) - self.unseen), 0) // 2, most)
        return slice(known - judged, known)

    def learnt(self, end: int, horizon: Horizon) -> slice:
        """The rows of the window that ends before `end` whose labels are made of rows before it."""
        return slice(max(end - self.window, 0), end - horizon)


@dataclass(frozen=True, kw_only=True, eq=False)
class Updated:
    """All learners, fitted up to the same row: `boosters` [horizons][boosters]."""

    boosters: list[list[Booster]]
    basic: list[BasicFitted]

    def by_learner(self, rows: Matrix) -> Foretold:
        """[rows, horizons, learners], as the libraries themselves say it."""
        learners: list[list[Fitted]] = [
            [*boosters, basic] for boosters, basic in zip(self.boosters, self.basic, strict=True)
        ]
        said = [[learner.probabilities(rows) for learner in each] for each in learners]
        return np.moveaxis(np.array(said), 2, 0)


def base_for(job: FitJob, candles: Candles, data: bytes) -> Base:
    """The full model that this job can start from.

    Raises:
        ArtifactRefused: there is none; it says why.
    """
    base = decode_base(data)
    card = base.model.card
    since, window = _newer(candles, card), min(job.plan.recent_rows, len(candles) - WARMUP)
    if (card.symbol, card.timeframe) != (job.symbol, job.timeframe):
        raise ArtifactRefused(f"the base is of {card.symbol} at {card.timeframe}")
    if card.spec != SPEC:
        raise ArtifactRefused("the base reads other features than this version computes")
    if card.libraries != versions():
        raise ArtifactRefused("the base was made by other versions of the libraries")
    if card.horizons != tuple(sorted(set(job.horizons))):
        raise ArtifactRefused(f"the base has other horizons: {card.horizons}")
    if 2 * since > window:
        raise ArtifactRefused(
            f"the base is too old: {since} candles are newer, of the {window} that it would learn"
        )
    return base


def update(
    job: FitJob, candles: Candles, base: Base, rival: bytes, progress: Progress
) -> FitResult:
    """Judge the update on rows that neither it nor its base has seen, then make it with them.

    Raises:
        Unsound: the model gives numbers that are not finite or not its boosters' own.
    """
    recent = _recent(job, candles, base)
    block = recent.block(rows_of_days(candles["at"], job.plan.test_days))
    added = job.plan.added_rounds * (job.updates + 1)
    libraries = refreshers(base.effort, added=added)
    progress("validating", 0.1)
    judged = _foretold(recent, block, base, libraries)
    progress("fitting", 0.5)
    updated = _updated(recent, len(recent.at), base, libraries)
    progress("checking", 0.9)
    model = _model(job, candles, base, recent, updated, _trial(base, recent.at[block], judged))
    check_packed(model, updated.boosters, recent.features)
    asks = behind(recent, block, base, judged)
    return FitResult(
        artifact=sound_artifact(model),
        mode=Mode.INCREMENTAL,
        horizons=recent.horizons,
        dropped=(),
        scores=_scores(candles, base, model.trial) if len(judged) else base.scores,
        rows=model.card.rows,
        candle_at_ms=model.card.candle_at_ms,
        libraries=model.card.libraries,
        verdict=_verdict(recent, block, judged, rival, job.live) if job.live else None,
        needs_full=asks is not None,
        note=asks,
    )


def behind(recent: Recent, block: slice, base: Base, p_up: Foretold) -> str | None:
    """Why it is time for a full training; None while it is not.

    On the block, with 95 % confidence, the update loses more than `MARGIN` against its base, or
    more than `MARGIN` above what the base lost in its validation: the market is not the one that
    the trees were grown for.
    """
    kept = [horizon for horizon in recent.horizons if len(p_up) >= MIN_BLOCKS * horizon]
    if not kept:
        return None
    truth, near = recent.labels[block], slice(len(kept))
    loss = surprise(truth, p_up)[:, near].mean(axis=1)
    base_says = probabilities(base.model, recent.features[block]).p_up
    base_loss = surprise(truth, base_says)[:, near].mean(axis=1)
    promised = np.mean([s.log_loss for s in base.scores if s.learner == ENSEMBLE][near])
    for against, name in ((base_loss, "its base does"), (promised, "its base's validation did")):
        low = lower_bound(loss - against, kept[-1])
        if low is not None and low > MARGIN:
            excess = float((loss - against).mean())
            return (
                f"a full training is due: on {len(loss)} new candles the update loses "
                f"{excess:.3f} nats more than {name}; {MARGIN:g} is allowed"
            )
    return None


def _newer(candles: Candles, card: Card) -> int:
    return int((candles["at"] > card.candle_at_ms).sum())


def _recent(job: FitJob, candles: Candles, base: Base) -> Recent:
    """The rows that the base has not seen, and before them a whole window and what its labels need,
    so that an update can be judged that was made without the newer ones.
    """
    horizons, unseen = base.model.card.horizons, _newer(candles, base.model.card)
    rows = min(job.plan.recent_rows + unseen + horizons[-1], len(candles) - WARMUP)
    newest = candles[-(rows + WARMUP) :]
    return Recent(
        at=newest["at"][WARMUP:],
        features=matrix(newest),
        labels=rises(returns_ahead(newest["close"][WARMUP:], horizons)),
        horizons=horizons,
        window=job.plan.recent_rows,
        unseen=unseen,
    )


def _foretold(
    recent: Recent, block: slice, base: Base, libraries: tuple[Refresher, ...]
) -> Foretold:
    """What an update made without the block says of it: [block, horizons]."""
    if block.start == block.stop:
        return np.empty((0, len(recent.horizons)))
    blind = _updated(recent, block.start, base, libraries)
    return base.model.blend.p_up(blind.by_learner(recent.features[block]))


def _updated(recent: Recent, end: int, base: Base, libraries: tuple[Refresher, ...]) -> Updated:
    """The base brought up to date with the rows before `end`."""
    ridge = Ridge.of(recent.features[recent.learnt(end, 0)])
    boosters, basic = [], []
    for column, (horizon, natives) in enumerate(zip(recent.horizons, base.boosters, strict=True)):
        learnt = recent.learnt(end, horizon)
        rows, labels = recent.features[learnt], np.ascontiguousarray(recent.labels[learnt, column])
        boosters.append(
            [
                library.refreshed(native, rows, labels)
                for library, native in zip(libraries, natives, strict=True)
            ]
        )
        basic.append(BasicFitted(ridge=ridge, weights=ridge.weights(labels)))
    return Updated(boosters=boosters, basic=basic)


def _model(
    job: FitJob, candles: Candles, base: Base, recent: Recent, updated: Updated, trial: Trial
) -> Model:
    depth, horizons = base.effort.depth, recent.horizons
    ridge = updated.basic[0].ridge
    return Model(
        card=replace(
            base.model.card,
            mode=Mode.INCREMENTAL,
            candle_at_ms=int(candles["at"][-1]),
            rows=min(recent.window, len(recent.at)) - horizons[0],
            outlooks=outlooks(horizons, _past(candles, horizons, trial), base.model.blend),
        ),
        forest=packing.forest(
            [booster.packed(depth) for each in updated.boosters for booster in each], depth
        ),
        linear=Linear(
            centre=ridge.centre,
            scale=ridge.scale,
            weights=np.stack([basic.weights for basic in updated.basic]),
        ),
        trial=trial,
    )


def _past(candles: Candles, horizons: tuple[Horizon, ...], trial: Trial) -> Past:
    """All candles, the newest included, and what was foretold of them."""
    returns = returns_ahead(candles["close"], horizons)[WARMUP:]
    p_up = np.full(returns.shape, np.nan)
    _, rows, places = np.intersect1d(
        candles["at"][WARMUP:], trial.at, assume_unique=True, return_indices=True
    )
    p_up[rows] = trial.p_up[places]
    return Past(atr_pct=atr_pct(candles), returns=returns, p_up=p_up)


def _trial(base: Base, at: npt.NDArray[np.int64], p_up: Foretold) -> Trial:
    """The base's, and what the update foretold; as many rows as the base's has, the newest."""
    before = base.model.trial
    newest = slice(-len(before.at), None)
    return Trial(
        at=np.concatenate([before.at, at])[newest],
        p_up=np.concatenate([before.p_up, p_up.astype(np.float32)])[newest],
    )


def _scores(candles: Candles, base: Base, trial: Trial) -> tuple[Score, ...]:
    """The base's, and for the ensemble those of the trial, the rows of the update included. What
    these say of the slope is the base's still, for so is the calibration.
    """
    _, rows, places = np.intersect1d(
        candles["at"], trial.at, assume_unique=True, return_indices=True
    )
    horizons = base.model.card.horizons
    returns = returns_ahead(candles["close"], horizons)[rows]
    p_up = trial.p_up[places].astype(np.float64)
    slopes = borne_out(base.scores)
    ensemble = {
        horizon: score(
            horizon,
            ENSEMBLE,
            rises(returns[:, place]),
            p_up[:, place],
            chance=chance(len(rows), horizon),
            slope=slopes.get(horizon),
        )
        for place, horizon in enumerate(horizons)
    }
    return tuple(ensemble[s.horizon] if s.learner == ENSEMBLE else s for s in base.scores)


def _verdict(recent: Recent, block: slice, p_up: Foretold, rival: bytes, live: str) -> Verdict:
    if not len(p_up):
        return Verdict(live_version=live, margin=gate.MARGIN, note="no candle is unknown to both")
    unseen = gate.Unseen(
        at=recent.at[block],
        features=recent.features[block],
        truth=recent.labels[block],
        p_up=p_up,
    )
    return gate.judge(unseen, recent.horizons, rival, live)
