"""Models with what was promised of their forecasts, and tracks with what became of these."""

from dataclasses import replace

from shared.contracts.quality import Reliability, Track
from shared.contracts.records import ModelRecord, Score
from shared.contracts.symbols import Symbol
from shared.contracts.terms import ENSEMBLE
from tests.support.predicting import START, record

AAPL = Symbol("AAPL")


def score(horizon: int = 1, *, log_loss: float = 0.68, rows: int = 2000) -> Score:
    return Score(
        horizon=horizon,
        learner=ENSEMBLE,
        roc_auc=0.55,
        roc_auc_interval=None,
        roc_auc_null=None,
        roc_auc_null_high=None,
        log_loss=log_loss,
        brier=0.25,
        calibration_error=0.0,
        accuracy=0.55,
        base_rate=0.5,
        up_share=0.5,
        rows=rows,
        effective_rows=rows / horizon,
    )


def track(
    horizon: int = 1,
    *,
    log_loss: float = 0.68,
    spread: float = 0.1,
    rows: int = 500,
    version: str = "v1",
) -> Track:
    return Track(
        model_version=version,
        horizon=horizon,
        forecasts=rows,
        hits=rows // 2,
        brier_sum=rows / 4,
        log_loss_sum=rows * log_loss,
        log_loss_square_sum=rows * (log_loss**2 + spread**2),
        bins=(Reliability(forecasts=0, p_up_sum=0.0, ups=0),) * 10,
        first_at=START,
        last_at=START,
    )


def model(symbol: Symbol = AAPL, *scores: Score, version: str = "v1") -> ModelRecord:
    return replace(record(version, symbol=symbol), scores=scores or (score(),))
