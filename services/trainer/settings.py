"""What the operator decides about the trainer."""

import os
from dataclasses import dataclass

from shared.bus.connection import NatsOptions
from shared.contracts.records import TrainingPlan
from shared.contracts.terms import Mode
from shared.runtime.settings import Environment

#: A month of the calendar, in days, for TRAIN_MONTHS_BACK.
_MONTH_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`processes` jobs run at once, each with `memory_mb` and `deadline_s`.

    No plan asks for more days than it reads.
    """

    nats: NatsOptions
    processes: int
    memory_mb: int
    deadline_s: float
    batch_size: int
    full: TrainingPlan
    quick: TrainingPlan

    @classmethod
    def read(cls, env: Environment) -> "Settings":
        """Raises InvalidSetting, naming the variable, its value and what is allowed."""
        months = env.integer("TRAIN_MONTHS_BACK", 6, least=1, most=120)
        days_back = env.integer("TRAIN_DAYS_BACK", 0, least=0, most=3650) or months * _MONTH_DAYS
        rounds = env.integer("TRAIN_EPOCHS", 200, least=10, most=5000)
        full_days = env.integer("FULL_TRAINING_MIN_DAYS", 180, least=1, most=3650)
        quick_days = env.integer("QUICK_TRAINING_MIN_DAYS", 90, least=1, most=3650)
        return cls(
            nats=NatsOptions.read(env),
            processes=env.integer("TRAINER_PROCESSES", os.cpu_count() or 1, least=1, most=512),
            memory_mb=env.integer("TRAINER_MEMORY_MB", 1024, least=256, most=65_536),
            deadline_s=env.integer("TRAINER_DEADLINE_S", 900, least=5, most=86_400),
            batch_size=env.integer("TRAIN_BATCH_SIZE", 25, least=1, most=1000),
            full=TrainingPlan(
                days_back=days_back,
                min_days=min(full_days, days_back),
                test_days=env.integer("FULL_TRAINING_TEST_DAYS", 30, least=1, most=365),
                rounds=rounds,
                recent_rows=env.integer("INCREMENTAL_ROWS", 2000, least=250, most=100_000),
                added_rounds=env.integer("INCREMENTAL_EPOCHS", 5, least=1, most=30),
            ),
            quick=TrainingPlan(
                days_back=quick_days,
                min_days=quick_days,
                test_days=env.integer("QUICK_TRAINING_TEST_DAYS", 14, least=1, most=365),
                rounds=rounds,
            ),
        )

    def plan(self, mode: Mode) -> TrainingPlan:
        """An update has the full plan: without a base to start from it becomes a full training."""
        return self.quick if mode is Mode.QUICK else self.full
