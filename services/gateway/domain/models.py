"""A live model, as the registry shows it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from shared.contracts.quality import Reliability, Scorecard, Track
from shared.contracts.records import ModelRecord, RolledBack, Score, Verdict
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon, Mode, Timeframe

_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """`metrics`: by horizon, then by learner; `ensemble` is the blend of them, which is served."""

    symbol: Symbol
    version: str
    created_at: datetime
    age_days: float
    timeframe: Timeframe
    horizons: tuple[Horizon, ...]
    avg_roc_auc: float | None
    avg_roc_auc_null: float | None
    metrics: dict[str, dict[str, Score]]
    mode: Mode
    run_id: str
    token: int
    candle_at: datetime
    rows: int
    size: int
    sha256: str
    libraries: dict[str, str]
    verdict: Verdict | None
    rolled_back: RolledBack | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PastModel:
    """A model that was live once; a rollback makes it so again."""

    version: str
    created_at: datetime
    mode: Mode
    run_id: str
    token: int
    avg_roc_auc: float | None
    avg_roc_auc_null: float | None
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Of the forecasts with probabilities in one tenth: what they said on average, and the share of
    them that rose. Of a reliable model the two are about the same.
    """

    forecasts: int
    p_up: float | None
    up_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How what one version foretold for one horizon has come out, of predictions that were served.
    Neighbouring ones share most of their future: they tell as much as `effective` that do not.
    """

    model_version: str
    horizon: Horizon
    forecasts: int
    effective: float
    hit_rate: float
    brier: float
    log_loss: float
    reliability: tuple[ReliabilityBin, ...]
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage(ModelView):
    """`history`: what was live before it, as far as that is kept, newest first. `served`: how
    predictions of this symbol did that were served, and `awaited` is how many wait for their end.
    """

    history: tuple[PastModel, ...]
    served: tuple[Served, ...]
    awaited: int


def page_of(
    record: ModelRecord, kept: Sequence[ModelRecord], scorecard: Scorecard, now: datetime
) -> ModelPage:
    """`kept` is what was written for this symbol, oldest first, `record` itself among it."""
    shown = view(record, now)
    newest = {model.version: model for model in kept if model.version != record.version}
    past = sorted(newest.values(), key=lambda model: model.created_at, reverse=True)
    return ModelPage(
        **{field.name: getattr(shown, field.name) for field in fields(shown)},
        served=tuple(served(track) for track in scorecard.tracks),
        awaited=len(scorecard.awaited),
        history=tuple(
            PastModel(
                version=model.version,
                created_at=model.created_at,
                mode=model.mode,
                run_id=model.run_id,
                token=model.token,
                avg_roc_auc=model.avg_roc_auc,
                avg_roc_auc_null=model.avg_roc_auc_null,
                sha256=model.sha256,
            )
            for model in past
        ),
    )


def served(track: Track) -> Served:
    return Served(
        model_version=track.model_version,
        horizon=track.horizon,
        forecasts=track.forecasts,
        effective=track.forecasts / track.horizon,
        hit_rate=track.hit_rate,
        brier=track.brier,
        log_loss=track.log_loss,
        reliability=tuple(_bin(each) for each in track.bins),
        first_at=track.first_at,
        last_at=track.last_at,
    )


def _bin(each: Reliability) -> ReliabilityBin:
    if not each.forecasts:
        return ReliabilityBin(forecasts=0, p_up=None, up_share=None)
    return ReliabilityBin(
        forecasts=each.forecasts,
        p_up=each.p_up_sum / each.forecasts,
        up_share=each.ups / each.forecasts,
    )


def view(record: ModelRecord, now: datetime) -> ModelView:
    metrics: dict[str, dict[str, Score]] = {}
    for score in record.scores:
        metrics.setdefault(str(score.horizon), {})[score.learner] = score
    return ModelView(
        symbol=record.symbol,
        version=record.version,
        created_at=record.created_at,
        age_days=round((now - record.created_at).total_seconds() / _DAY_S, 3),
        timeframe=record.timeframe,
        horizons=record.horizons,
        avg_roc_auc=record.avg_roc_auc,
        avg_roc_auc_null=record.avg_roc_auc_null,
        metrics=metrics,
        mode=record.mode,
        run_id=record.run_id,
        token=record.token,
        candle_at=record.candle_at,
        rows=record.rows,
        size=record.size,
        sha256=record.sha256,
        libraries=record.libraries,
        verdict=record.verdict,
        rolled_back=record.rolled_back,
    )
