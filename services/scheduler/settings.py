"""What the operator decides about the scheduler."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.scheduler.domain import cadence
from services.scheduler.domain.cadence import CANDLES, Schedule
from services.scheduler.domain.candidates import Policy
from shared.bus.connection import NatsOptions
from shared.contracts.errors import InvalidSetting, InvalidSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Timeframe
from shared.runtime.settings import Environment

HORIZONS = (1, 3, 7, 14, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`symbols` is None where the provider's own set is meant. `schedules` are those in force."""

    nats: NatsOptions
    data_dir: Path
    provider: str
    symbols: tuple[Symbol, ...] | None
    timeframe: Timeframe
    horizons: tuple[int, ...]
    policy: Policy
    schedules: tuple[Schedule, ...]
    #: Whether the continuous cycle runs.
    cycling: bool
    #: Whether symbols without a model are trained as soon as there are candles.
    quick_start: bool

    @classmethod
    def read(cls, env: Environment) -> "Settings":
        """Raises InvalidSetting, naming the variable, its value and what is allowed."""
        cycling = env.flag("AUTO_TRAINING_ENABLED", default=False)
        return cls(
            nats=NatsOptions.read(env),
            data_dir=env.data_dir(),
            provider=env.text("DATA_PROVIDER", "replay"),
            symbols=_symbols(env),
            timeframe=env.timeframe("TIMEFRAME", Timeframe.M15),
            horizons=env.horizons("HORIZONS", HORIZONS),
            policy=Policy(
                per_cycle=env.integer("ML_TRAIN_PER_CYCLE", 50, least=1, most=100_000),
                max_age=timedelta(days=env.decimal("ML_MAX_MODEL_AGE_DAYS", 7, least=0, most=3650)),
                cooldown=timedelta(
                    hours=env.decimal("ML_TRAINING_COOLDOWN_HOURS", 6, least=0, most=8760)
                ),
            ),
            schedules=_schedules(env, cycling=cycling),
            cycling=cycling,
            quick_start=env.flag("EVERTRAIN_DEMO", default=False),
        )


def _schedules(env: Environment, *, cycling: bool) -> tuple[Schedule, ...]:
    zone = env.text("SCHEDULE_TIMEZONE", "UTC")
    candle_minutes = env.decimal("CANDLE_INTERVAL_MINUTES", 15, least=1 / 60, most=1440)
    cycle_minutes = env.decimal("CYCLE_MINUTES", 15, least=1 / 60, most=1440)
    cycles = env.integer("ML_TRAIN_INTERVAL_CYCLES", 1, least=1, most=10_000)
    incremental = cadence.checked_cron(
        "INCREMENTAL_SCHEDULE", env.text("INCREMENTAL_SCHEDULE", "0 */6 * * *"), zone
    )
    full = cadence.checked_cron(
        "FULL_RETRAIN_SCHEDULE", env.text("FULL_RETRAIN_SCHEDULE", "0 2 * * 0"), zone
    )
    wanted = [cadence.every_minutes(CANDLES, candle_minutes)]
    if cycling:
        wanted.append(cadence.every_minutes(Mode.CYCLE, cycle_minutes * cycles))
    if env.flag("INCREMENTAL_ENABLED", default=True):
        wanted.append(incremental)
    if env.flag("FULL_RETRAIN_ENABLED", default=True):
        wanted.append(full)
    return tuple(wanted)


def _symbols(env: Environment) -> tuple[Symbol, ...] | None:
    """SYMBOLS, or else the file SYMBOLS_FILE names: one symbol a line, `#` for remarks."""
    listed = env.symbols("SYMBOLS")
    file = env.optional("SYMBOLS_FILE")
    if listed is not None or file is None:
        return listed
    try:
        lines = Path(file).expanduser().read_text().splitlines()
        symbols = [Symbol(line) for raw in lines if (line := raw.partition("#")[0].strip())]
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidSetting(f"SYMBOLS_FILE={file!r} cannot be read: {exc}") from exc
    except InvalidSymbol as exc:
        raise InvalidSetting(f"SYMBOLS_FILE={file!r}: {exc}") from exc
    if not symbols:
        raise InvalidSetting(f"SYMBOLS_FILE={file!r} lists no symbol")
    return tuple(dict.fromkeys(symbols))
