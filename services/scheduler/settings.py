"""What the operator decides about the scheduler."""

from dataclasses import dataclass
from pathlib import Path

from services.scheduler.domain.cadence import Intervals
from services.scheduler.domain.configuration import changed
from shared.bus.connection import NatsOptions
from shared.contracts.configuration import KINDS, Configuration, parsed
from shared.contracts.errors import InvalidSetting, InvalidSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.providers.catalogue import AVAILABLE, require_available
from shared.runtime.settings import Environment

HORIZONS = (1, 3, 7, 14, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`symbols` is None where the provider's own set is meant. `symbols_file` is where they were
    read from, if they were.
    """

    nats: NatsOptions
    data_dir: Path
    provider: str
    symbols: tuple[Symbol, ...] | None
    symbols_file: Path | None
    timeframe: Timeframe
    horizons: tuple[int, ...]
    intervals: Intervals
    #: How long predictions last that are made before a full run.
    pregenerate_ttl_hours: float
    #: What training is configured to until somebody changes it; `named` are the settings of it that
    #: have a value in the environment.
    configuration: Configuration
    named: frozenset[str]
    #: Whether symbols without a model are trained as soon as there are candles.
    quick_start: bool

    @classmethod
    def read(cls, env: Environment) -> "Settings":
        """Raises InvalidSetting, naming the variable, its value and what is allowed."""
        timeframe = env.timeframe("TIMEFRAME", Timeframe.M15)
        listed = env.symbols("SYMBOLS")
        file = env.file("SYMBOLS_FILE") if listed is None else None
        return cls(
            nats=NatsOptions.read(env),
            data_dir=env.data_dir(),
            provider=_provider(env, timeframe),
            symbols=read_symbols(file) if file is not None else listed,
            symbols_file=file,
            timeframe=timeframe,
            horizons=env.horizons("HORIZONS", HORIZONS),
            intervals=_intervals(env),
            pregenerate_ttl_hours=env.decimal("PREGENERATE_TTL_HOURS", 24, least=0.01, most=168),
            configuration=first_configuration(env),
            named=frozenset(_named(env)),
            quick_start=env.flag("EVERTRAIN_DEMO", default=False),
        )


def first_configuration(env: Environment) -> Configuration:
    """What training is configured to until somebody changes it. Raises InvalidSetting."""
    return changed(Configuration(), _named(env), spelled=variable)


def variable(setting: str) -> str:
    """The name of a setting of training in the environment."""
    return "AUTO_TRAINING_ENABLED" if setting == "enabled" else setting.upper()


def read_symbols(file: Path) -> tuple[Symbol, ...]:
    """One symbol a line, `#` for remarks; without repeats.

    Raises:
        InvalidSetting: the file cannot be read, or lists no symbol, or something else.
    """
    try:
        lines = file.read_text().splitlines()
        symbols = [Symbol(line) for raw in lines if (line := raw.partition("#")[0].strip())]
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidSetting(f"SYMBOLS_FILE={str(file)!r} cannot be read: {exc}") from exc
    except InvalidSymbol as exc:
        raise InvalidSetting(f"SYMBOLS_FILE={str(file)!r}: {exc}") from exc
    if not symbols:
        raise InvalidSetting(f"SYMBOLS_FILE={str(file)!r} lists no symbol")
    return tuple(dict.fromkeys(symbols))


def _provider(env: Environment, timeframe: Timeframe) -> str:
    """There is no default: what people do not choose, they would take for their market."""
    provider = env.optional("DATA_PROVIDER")
    if provider is None:
        raise InvalidSetting(
            f"DATA_PROVIDER is not set: choose from {AVAILABLE}, or try `evertrain up --demo`"
        )
    require_available(provider, timeframe)
    return provider


def _intervals(env: Environment) -> Intervals:
    return Intervals(
        candle_minutes=env.decimal("CANDLE_INTERVAL_MINUTES", 15, least=1 / 60, most=1440),
        signal_minutes=env.decimal("SIGNAL_INTERVAL_MINUTES", 5, least=1 / 60, most=1440),
        drift_hours=env.decimal("DRIFT_INTERVAL_HOURS", 24, least=1 / 60, most=720),
        cleanup_hours=env.decimal("CLEANUP_INTERVAL_HOURS", 24, least=1 / 60, most=720),
    )


def _named(env: Environment) -> dict[str, object]:
    """The settings of training that have a value in the environment. SYMBOLS is not one of them:
    there it names the universe. AUTO_TRAINING_INTERVAL_DAYS is another name of the maximum age.
    """
    named: dict[str, object] = {}
    if env.optional("AUTO_TRAINING_INTERVAL_DAYS") is not None:
        days = env.decimal("AUTO_TRAINING_INTERVAL_DAYS", 7, least=0, most=3650)
        named["ml_max_model_age_days"] = days
    for setting, kind in KINDS.items():
        text = env.optional(variable(setting))
        if text is None or setting == "symbols":
            continue
        if kind is bool:
            named[setting] = env.flag(variable(setting), default=False)
        else:
            named[setting] = parsed(setting, text)
    return named
