"""What the operator decides about the trainer."""

import os
from dataclasses import dataclass

from services.trainer.domain.retention import Retention
from shared.bus.connection import NatsOptions
from shared.runtime.settings import Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`processes` jobs run at once, each with `memory_mb` and `deadline_s`. How a training is done
    is in the configuration, which can change. `retention` is what a clean-up keeps.
    """

    nats: NatsOptions
    processes: int
    memory_mb: int
    deadline_s: float
    retention: Retention

    @classmethod
    def read(cls, env: Environment) -> "Settings":
        """Raises InvalidSetting, naming the variable, its value and what is allowed."""
        return cls(
            nats=NatsOptions.read(env),
            processes=env.integer("TRAINER_PROCESSES", os.cpu_count() or 1, least=1, most=512),
            memory_mb=env.integer("TRAINER_MEMORY_MB", 1024, least=256, most=65_536),
            deadline_s=env.integer("TRAINER_DEADLINE_S", 900, least=5, most=86_400),
            retention=Retention(
                models_per_symbol=env.integer("MAX_MODELS_PER_SYMBOL", 5, least=1, most=10),
                days=env.integer("MAX_AGE_DAYS", 30, least=1, most=3650),
            ),
        )
