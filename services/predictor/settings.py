"""What the operator decides about the predictor."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from shared.bus.connection import NatsOptions
from shared.runtime.settings import Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`ttl` is how long a prediction counts as fresh; without `caching` each question is computed
    anew.
    """

    nats: NatsOptions
    data_dir: Path
    caching: bool
    ttl: timedelta

    @classmethod
    def read(cls, env: Environment) -> "Settings":
        """Raises InvalidSetting, naming the variable, its value and what is allowed."""
        hours = env.decimal("PREDICTION_CACHE_TTL_HOURS", 1.0, least=0.01, most=720.0)
        return cls(
            nats=NatsOptions.read(env),
            data_dir=env.data_dir(),
            caching=env.flag("PREDICTION_CACHE_ENABLED", default=True),
            ttl=timedelta(hours=hours),
        )
