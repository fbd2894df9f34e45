"""From candles to a sound model: what a training child does, and nothing else."""

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from services.trainer.domain import packing
from services.trainer.domain.basic import Basic, Ridge
from services.trainer.domain.boosters import boosters, reserve, versions
from services.trainer.domain.evolution import search
from services.trainer.domain.gate import Unseen, judge
from services.trainer.domain.jobs import FitJob, FitResult, Inputs, Progress
from services.trainer.domain.learners import Booster, BoosterLearner, effort_for
from services.trainer.domain.natives import encode_base
from services.trainer.domain.outlooks import Past, outlooks
from services.trainer.domain.sample import Sample, check_days, sample
from services.trainer.domain.soundness import check_packed, sound_artifact
from services.trainer.domain.updates import base_for, update
from services.trainer.domain.validation import Validation, validate
from shared.contracts.errors import ArtifactRefused
from shared.contracts.records import Verdict
from shared.contracts.terms import Mode
from shared.contracts.trading import ParameterSearch
from shared.model.artifact import Card, Model
from shared.model.candles import Candles, view
from shared.model.features import NAMES, SPEC
from shared.model.forest import Forest
from shared.model.linear import Linear
from shared.model.splits import Split, adjusted
from shared.model.trial import Trial

#: Of what validation foretold, the newest rows that the next model is compared on: sixteen months
#: of days. More would make the artifact larger and the comparison hardly sharper.
_TRIAL_ROWS: Final = 500


def prepare() -> None:
    """What a training process does before its memory is capped."""
    reserve()


def fit(job: FitJob, inputs: Inputs, progress: Progress) -> FitResult:
    """Train, judge, pack and check one symbol's model, and compare it with the live one.

    The candles are rows, oldest first: those of the plan's window and `WARMUP` before it (see
    `history.rows_to_read`). Splits in them are undone, and the note says which. The same job,
    inputs and libraries give the same artifact. A job that is to update a base which it cannot
    start from trains in full instead.

    Raises:
        CandlesRefused: candles that no feature can be computed from.
        NotEnoughHistory: too few days, or too few rows for even the shortest horizon.
        Unsound: the model gives numbers that are not finite or not its boosters' own.
    """
    progress("features", 0.0)
    candles, splits = adjusted(view(inputs.candles))
    result = _trained(job, candles, inputs, progress)
    return replace(result, note=_note(result.note, splits))


def _trained(job: FitJob, candles: Candles, inputs: Inputs, progress: Progress) -> FitResult:
    if job.mode is not Mode.INCREMENTAL:
        return _full(job, candles, inputs.rival, progress)
    check_days(job, candles)
    try:
        base = base_for(job, candles, inputs.base)
    except ArtifactRefused as exc:
        result = _full(replace(job, mode=Mode.FULL), candles, inputs.rival, progress)
        return replace(result, note=f"trained in full: {exc}")
    return update(job, candles, base, inputs.rival, progress)


def _note(note: str | None, splits: tuple[Split, ...]) -> str | None:
    notes = [note] if note else []
    if splits:
        notes.append(f"adjusted for a {', a '.join(map(str, splits))}")
    return "; ".join(notes) or None


def _full(job: FitJob, candles: Candles, rival: bytes, progress: Progress) -> FitResult:
    known = sample(job, candles)
    effort = effort_for(len(known.features), rounds=job.plan.rounds)

    progress("validating", 0.05)
    first = known.folds[0].train
    learners = boosters(known.features, known.labels, effort, edges=first)
    judged = validate(
        known,
        (*learners, Basic(known.features, known.labels)),
        effort.rounds,
        job.slopes,
        lambda part: progress("validating", 0.05 + 0.7 * part),
    )

    progress("fitting", 0.75)
    rows = range(len(known.features))
    learners = boosters(known.features, known.labels, effort, edges=rows)
    fitted = _fitted(known, learners, judged.rounds)
    progress("checking", 0.95)
    model = Model(
        card=_card(job, candles, known, judged, tuple(learner.name for learner in learners)),
        forest=_forest(fitted, effort.depth),
        linear=_linear(known),
        trial=_trial(known, judged),
    )
    check_packed(model, fitted, known.features)

    natives = [[booster.native() for booster in each] for each in fitted]
    artifact = sound_artifact(model)
    return FitResult(
        artifact=artifact,
        mode=job.mode,
        native=encode_base(artifact, effort, judged.scores, natives),
        horizons=known.horizons,
        dropped=tuple(h for h in job.horizons if h not in known.horizons),
        scores=judged.scores,
        rows=len(known.features),
        candle_at_ms=model.card.candle_at_ms,
        libraries=model.card.libraries,
        verdict=_verdict(known, judged, rival, job.live) if job.live else None,
        search=_search(job, candles, known, judged) if job.mode is Mode.FULL else None,
    )


def _fitted(
    known: Sample, learners: tuple[BoosterLearner, ...], rounds: npt.NDArray[np.int64]
) -> list[list[Booster]]:
    """Every booster on all rows, with the rounds that validation chose: [horizons][boosters]."""
    studies = [learner.study(range(len(known.features))) for learner in learners]
    return [
        [study.fit(column, rounds=int(best)) for study, best in zip(studies, row, strict=True)]
        for column, row in enumerate(rounds[:, : len(studies)])
    ]


def _forest(fitted: list[list[Booster]], depth: int) -> Forest:
    groups = [booster.packed(depth) for each in fitted for booster in each]
    return packing.forest(groups, depth)


def _linear(known: Sample) -> Linear:
    ridge = Ridge.of(known.features)
    weights = [ridge.weights(labels) for labels in known.labels.T]
    return Linear(centre=ridge.centre, scale=ridge.scale, weights=np.stack(weights))


def _trial(known: Sample, judged: Validation) -> Trial:
    newest = slice(-_TRIAL_ROWS, None)
    return Trial(at=known.at[judged.unseen[newest]], p_up=judged.p_up[newest].astype(np.float32))


def _verdict(known: Sample, judged: Validation, rival: bytes, live: str) -> Verdict:
    rows = judged.unseen
    unseen = Unseen(
        at=known.at[rows],
        features=known.features[rows],
        truth=known.labels[rows],
        p_up=judged.p_up,
    )
    return judge(unseen, known.horizons, rival, live)


def _search(job: FitJob, candles: Candles, known: Sample, judged: Validation) -> ParameterSearch:
    """The rows that are unseen follow each other, and so do their candles."""
    first = int(np.searchsorted(candles["at"], known.at[judged.unseen[0]]))
    return search(
        candles[first:],
        known.atr_pct[judged.unseen],
        judged.p_up,
        timeframe=job.timeframe,
        horizons=known.horizons,
        present=job.parameters,
        terms=job.plan.terms,
    )


def _card(
    job: FitJob, candles: Candles, known: Sample, judged: Validation, names: tuple[str, ...]
) -> Card:
    return Card(
        symbol=job.symbol,
        timeframe=job.timeframe,
        mode=job.mode,
        candle_at_ms=int(candles["at"][-1]),
        rows=len(known.features),
        spec=SPEC,
        features=NAMES,
        boosters=names,
        outlooks=outlooks(known.horizons, _past(known, judged), judged.blend),
        libraries=versions(),
    )


def _past(known: Sample, judged: Validation) -> Past:
    p_up = np.full(known.returns.shape, np.nan)
    p_up[judged.unseen] = judged.p_up
    return Past(atr_pct=known.atr_pct, returns=known.returns, p_up=p_up)
