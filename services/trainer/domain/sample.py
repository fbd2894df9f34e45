"""What one job learns from: the rows of its window, what became of them, and how they are split."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.trainer.domain.folds import Fold, feasible, walk_forward
from services.trainer.domain.jobs import FitJob
from services.trainer.domain.labels import returns_ahead, rises
from shared.contracts.errors import NotEnoughHistory
from shared.contracts.terms import Horizon
from shared.model.candles import Candles
from shared.model.features import Matrix, matrix
from shared.model.history import MIN_WINDOW, WARMUP
from shared.model.reach import atr_pct

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`at` [rows], open times in ms; `features` [rows, features]; `atr_pct` [rows]; `returns` in
    percent and `labels` [rows, horizons], all known: rows whose longest horizon is not over yet are
    not in it.
    """

    at: npt.NDArray[np.int64]
    features: Matrix
    atr_pct: npt.NDArray[np.float64]
    returns: npt.NDArray[np.float64]
    labels: npt.NDArray[np.float32]
    horizons: tuple[Horizon, ...]
    folds: tuple[Fold, ...]


def sample(job: FitJob, candles: Candles) -> Sample:
    """Cut the job's window out of its candles and label it.

    Raises:
        NotEnoughHistory: fewer days than the plan's minimum, or rows for not even the shortest
            horizon.
    """
    check_days(job, candles)
    window = _window(candles["at"][WARMUP:], job.plan.days_back)
    features = matrix(candles)[window]
    close = candles["close"][WARMUP:][window]
    test_rows = rows_of_days(candles["at"], job.plan.test_days)
    horizons = feasible(len(close), job.horizons, test_rows=test_rows)
    known = len(close) - horizons[-1]
    returns = returns_ahead(close, horizons)[:known]
    return Sample(
        at=candles["at"][WARMUP:][window][:known],
        features=features[:known],
        atr_pct=atr_pct(candles)[window][:known],
        returns=returns,
        labels=rises(returns),
        horizons=horizons,
        folds=walk_forward(known, test_rows=test_rows, purge=horizons[-1]),
    )


def check_days(job: FitJob, candles: Candles) -> None:
    if len(candles) <= WARMUP:
        raise NotEnoughHistory(
            f"{len(candles)} candles of {job.symbol}; the features alone need {WARMUP + 1}"
        )
    at = candles["at"]
    days = (int(at[-1] - at[0]) + job.timeframe.ms) / _DAY_MS
    if days < job.plan.min_days:
        raise NotEnoughHistory(
            f"{days:.0f} days of candles of {job.symbol}; "
            f"a {job.mode} training needs {job.plan.min_days}"
        )


def _window(at: npt.NDArray[np.int64], days: int) -> slice:
    """The rows of the newest `days`, and at least `MIN_WINDOW` where there are as many."""
    rows = max(rows_of_days(at, days), MIN_WINDOW)
    return slice(max(len(at) - rows, 0), None)


def rows_of_days(at: npt.NDArray[np.int64], days: int) -> int:
    """How many of the newest rows the newest `days` hold; at least one."""
    return int((at > at[-1] - days * _DAY_MS).sum())
