"""The jobs that are measured, and what becomes of them on candles that they have not seen."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from services.trainer.adapters.pool import TrainingPool
from services.trainer.domain.jobs import FitJob, Inputs
from services.trainer.domain.scores import roc_auc
from services.trainer.fit import fit
from shared.contracts.terms import Timeframe
from shared.model.artifact import decode
from shared.model.candles import Candles
from shared.model.features import Matrix, matrix
from shared.model.forecast import probabilities
from shared.model.history import WARMUP
from tests.benchmarks import markets
from tests.support.jobs import daily_job

HORIZONS: Final = (1, 3, 7, 14, 30)

#: Megabytes that a child may take, and seconds.
MEMORY_MB: Final = 1024
_DEADLINE_S: Final = 3600.0

#: [rows, horizons]: that the close will be higher.
Foreseen = npt.NDArray[np.float64]


def job_for(candles: Candles, timeframe: Timeframe, rows: int, rounds: int) -> FitJob:
    """A full training on a window of so many of the newest candles."""
    days = markets.days_of(candles, rows)
    job = daily_job(horizons=HORIZONS, days_back=days, min_days=min(days, 90), rounds=rounds)
    return replace(job, timeframe=timeframe)


def artifact(job: FitJob, candles: Candles) -> bytes:
    """Train in this process."""
    return fit(job, Inputs(candles=candles.tobytes()), _silent).artifact


async def in_child(pool: TrainingPool, job: FitJob, candles: Candles) -> None:
    """Train in a child of the pool."""
    inputs = Inputs(candles=candles.tobytes())
    await pool.run(job, inputs, deadline_s=_DEADLINE_S, on_progress=_silent)


def _silent(stage: str, done: float) -> None:
    """Progress that nobody follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """Candles that a model has not seen: `features` of each of them and `close`, oldest first."""

    features: Matrix
    close: npt.NDArray[np.float64]

    @classmethod
    def of(cls, candles: Candles, held: int) -> "Exam":
        """The newest `held` candles."""
        newest = candles[-held - WARMUP :]
        return cls(features=matrix(newest), close=newest["close"][WARMUP:])

    def rises(self, horizon: int) -> npt.NDArray[np.bool_]:
        risen: npt.NDArray[np.bool_] = self.close[horizon:] > self.close[:-horizon]
        return risen


def pooled_auc(exams: list[Exam], foreseen: list[Foreseen]) -> float:
    """The ROC AUC over the exams of all symbols together, averaged over the horizons."""
    return float(np.mean([_auc(exams, foreseen, *each) for each in enumerate(HORIZONS)]))


def standard_error(exams: list[Exam]) -> float:
    """Of a pooled ROC AUC of a model that knows nothing (Mann-Whitney's U), as if all rows were
    independent; those of long horizons are not, so it is really more.
    """
    rows = sum(len(exam.close) for exam in exams)
    return float(np.sqrt(1.0 / (3.0 * rows)))


def of_artifact(data: bytes, exam: Exam) -> Foreseen:
    return probabilities(decode(data), exam.features).p_up


def _auc(exams: list[Exam], foreseen: list[Foreseen], column: int, horizon: int) -> float:
    rose = np.concatenate([exam.rises(horizon) for exam in exams])
    said = np.concatenate([each[:-horizon, column] for each in foreseen])
    return roc_auc(rose.astype(np.float64), said) or 0.5
