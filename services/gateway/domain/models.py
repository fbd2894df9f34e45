"""A live model, as the registry shows it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from shared.contracts.records import ModelRecord, Score, Verdict
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PastModel:
    """A model that was live once."""

    version: str
    created_at: datetime
    mode: Mode
    run_id: str
    token: int
    avg_roc_auc: float | None
    avg_roc_auc_null: float | None
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage(ModelView):
    """`history`: what was live before it, as far as that is kept, newest first."""

    history: tuple[PastModel, ...]


def page_of(record: ModelRecord, kept: Sequence[ModelRecord], now: datetime) -> ModelPage:
    """`kept` are the promotions of this symbol, oldest first, `record` itself among them."""
    shown = view(record, now)
    past = [model for model in reversed(kept) if model.version != record.version]
    return ModelPage(
        **{field.name: getattr(shown, field.name) for field in fields(shown)},
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
    )
