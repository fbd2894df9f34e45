"""The settings of training that can change while everything runs."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from shared.contracts.instants import Instant
from shared.contracts.symbols import Symbol
from shared.contracts.trading import EvolvedParameters

Count = Annotated[int, Meta(ge=1, le=100_000)]
Minutes = Annotated[float, Meta(ge=0.05, le=1440)]
Days = Annotated[int, Meta(ge=1, le=3650)]
TestDays = Annotated[int, Meta(ge=1, le=365)]
Cron = Annotated[str, Meta(description="five cron fields, like 0 2 * * 0")]
Zone = Annotated[str, Meta(description="a time zone, like UTC or Europe/Istanbul")]

#: A month of the calendar, in days.
_MONTH_DAYS: Final = 30

#: Through which door a change came: the settings of the process that came first, or people.
Door = Literal["settings", "api", "cli", "nats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the automation does, and how a training is done. Each field is a setting of the same
    name in capitals, and has its default. Those behind `full_training_test_days` are of signals:
    fees and slippage are of the price and each paid on the way in and on the way out, a stake is of
    the paper capital (in the quote currency), and so is all that may be open at once.

    `enabled` (AUTO_TRAINING_ENABLED) is the continuous cycle, and `symbols` limits it; with None
    it looks after the whole universe. `train_days_back` wins over `train_months_back`.
    """

    enabled: bool = False
    symbols: tuple[Symbol, ...] | None = None
    cycle_minutes: Minutes = 15.0
    ml_train_interval_cycles: Annotated[int, Meta(ge=1, le=10_000)] = 1
    ml_train_per_cycle: Count = 50
    ml_max_model_age_days: Annotated[float, Meta(ge=0, le=3650)] = 7.0
    ml_training_cooldown_hours: Annotated[float, Meta(ge=0, le=8760)] = 6.0
    incremental_enabled: bool = True
    incremental_schedule: Cron = "0 */6 * * *"
    incremental_epochs: Annotated[int, Meta(ge=1, le=30)] = 5
    incremental_rows: Annotated[int, Meta(ge=250, le=100_000)] = 2000
    full_retrain_enabled: bool = True
    full_retrain_schedule: Cron = "0 2 * * 0"
    schedule_timezone: Zone = "UTC"
    train_batch_size: Annotated[int, Meta(ge=1, le=1000)] = 25
    train_months_back: Annotated[int, Meta(ge=1, le=120)] = 6
    train_days_back: Days | None = None
    train_epochs: Annotated[int, Meta(ge=10, le=5000)] = 200
    quick_training_min_days: Days = 90
    quick_training_test_days: TestDays = 14
    full_training_min_days: Days = 180
    full_training_test_days: TestDays = 30
    min_net_profit_pct: Annotated[float, Meta(ge=0, le=100)] = 1.0
    min_confidence_threshold: Annotated[float, Meta(ge=0.5, le=1)] = 0.50
    min_accuracy_target: Annotated[float, Meta(ge=0, le=1)] = 0.60
    auto_leverage: bool = True
    max_leverage: Annotated[float, Meta(ge=1, le=20)] = 20.0
    fee_pct: Annotated[float, Meta(ge=0, le=10)] = 0.1
    slippage_pct: Annotated[float, Meta(ge=0, le=10)] = 0.05
    funding_pct_per_day: Annotated[float, Meta(ge=0, le=10)] = 0.0
    signal_cooldown_candles: Annotated[int, Meta(ge=0, le=1000)] = 3
    paper_capital: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 100_000
    stake_pct: Annotated[float, Meta(gt=0, le=100)] = 1.0
    max_exposure_pct: Annotated[float, Meta(gt=0, le=10_000)] = 200.0

    @property
    def days_back(self) -> int:
        """The window of a full training."""
        return self.train_days_back or self.train_months_back * _MONTH_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured(Configuration):
    """The configuration in force. KV `evertrain_config`, key `training`; owner: schedulers.

    `revision` grows by one with each change. `request_id` is that of the request that made it, so
    that the same request is not carried out twice.
    """

    revision: int
    changed_at: Instant
    changed_by: Door
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingChange:
    """One setting, before and after."""

    setting: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationChange:
    """What one revision changed, and through which door."""

    revision: int
    at: Instant
    by: Door
    changes: tuple[SettingChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationReport(Configured):
    """The configuration in force and how it came to be, newest first: `GET /auto-train/config`.

    `evolution` are the signal parameters of each symbol, with as much of their histories as an
    answer holds.
    """

    history: tuple[ConfigurationChange, ...]
    evolution: tuple[EvolvedParameters, ...] = ()


#: The type of each setting, with its limits.
KINDS: Final = get_type_hints(Configuration, include_extras=True)


def parsed(setting: str, text: str) -> object:
    """The value that a person means by `text`; the text itself where it cannot be one.

    Symbols are separated by commas, and `null` is nothing at all.
    """
    kind = KINDS.get(setting, str)
    if setting == "symbols" and text != "null":
        return [part.strip() for part in text.split(",")]
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        return text


def allowed(setting: str) -> str:
    """What the setting may be, in words."""
    kind = KINDS[setting]
    if setting == "symbols":
        return "a list of symbols, or null for all"
    optional = type(None) in get_args(kind)
    kind = get_args(kind)[0] if optional else kind
    if kind is bool:
        return "true or false"
    base, limits = get_args(kind)
    if limits.description:
        return str(limits.description)
    number = "a whole number" if base is int else "a number"
    return f"{number} from {limits.ge} to {limits.le}" + (", or null" if optional else "")
