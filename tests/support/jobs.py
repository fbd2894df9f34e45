from dataclasses import replace

from services.trainer.domain.jobs import FitJob
from shared.contracts.records import TrainingPlan
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Timeframe


def daily_job(
    *,
    horizons: tuple[int, ...] = (1, 3, 7, 14, 30),
    days_back: int = 730,
    min_days: int = 180,
    test_days: int = 30,
    rounds: int = 200,
) -> FitJob:
    return FitJob(
        symbol=Symbol("BTC/USDT"),
        timeframe=Timeframe.D1,
        horizons=horizons,
        mode=Mode.FULL,
        plan=TrainingPlan(
            days_back=days_back, min_days=min_days, test_days=test_days, rounds=rounds
        ),
    )


def job_for(symbol: str) -> FitJob:
    """A job that nobody will really train."""
    return replace(daily_job(horizons=(1,)), symbol=Symbol(symbol))
