"""What a configuration means, which ones are allowed, and how one differs from another."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final, TypeVar

import msgspec

from services.scheduler.domain.cadence import (
    CANDLES,
    CLEANUP,
    DRIFT,
    Intervals,
    Schedule,
    check_zone,
    checked_cron,
    every_hours,
    every_minutes,
    pregeneration,
    review,
)
from services.scheduler.domain.candidates import Policy
from shared.contracts.configuration import (
    KINDS,
    Configuration,
    ConfigurationChange,
    ConfigurationReport,
    Configured,
    SettingChange,
    allowed,
)
from shared.contracts.errors import InvalidSetting
from shared.contracts.subjects import SIGNAL_TICK
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode
from shared.contracts.trading import EvolvedParameters

#: An answer holds 1 MB, and an attempt takes 0.8 KB of it.
_MOST_ATTEMPTS: Final = 800

ConfigurationT = TypeVar("ConfigurationT", bound=Configuration)


def changed(
    configuration: ConfigurationT,
    changes: Mapping[str, object],
    *,
    spelled: Callable[[str], str] = str,
) -> ConfigurationT:
    """The configuration with these settings changed; the others keep their values.

    `spelled` turns the name of a setting into what the user calls it.

    Raises:
        InvalidSetting: a setting that does not exist, or a value that is not allowed; it names
            both, and what is allowed.
        InvalidSymbol: a symbol outside the grammar.
    """
    unknown = [name for name in changes if name not in KINDS]
    if unknown:
        raise InvalidSetting(f"there is no setting {unknown[0]!r}; there are {', '.join(KINDS)}")
    values = {name: _value(name, value, spelled(name)) for name, value in changes.items()}
    wanted = replace(configuration, **values)
    check_zone(wanted.schedule_timezone, setting=spelled("schedule_timezone"))
    _incremental(wanted, spelled("incremental_schedule"))
    _full(wanted, spelled("full_retrain_schedule"))
    return wanted


def training_schedules(configuration: Configuration) -> tuple[Schedule, ...]:
    """When to train, by mode."""
    wanted = []
    if configuration.enabled:
        minutes, one_in = configuration.cycle_minutes, configuration.ml_train_interval_cycles
        wanted.append(every_minutes(Mode.CYCLE, minutes, one_in=one_in))
    if configuration.incremental_enabled:
        wanted.append(_incremental(configuration, "incremental_schedule"))
    if configuration.full_retrain_enabled:
        wanted.append(_full(configuration, "full_retrain_schedule"))
    return tuple(wanted)


def schedules(configuration: Configuration, intervals: Intervals) -> tuple[Schedule, ...]:
    """Everything that is due regularly."""
    training = training_schedules(configuration)
    ahead = [pregeneration(schedule) for schedule in training if schedule.name == Mode.FULL]
    return (
        every_minutes(CANDLES, intervals.candle_minutes),
        every_minutes(SIGNAL_TICK, intervals.signal_minutes),
        review(),
        *ahead,
        *training,
        every_hours(DRIFT, intervals.drift_hours),
        every_hours(CLEANUP, intervals.cleanup_hours),
    )


def policy(configuration: Configuration) -> Policy:
    return Policy(
        per_cycle=configuration.ml_train_per_cycle,
        max_age=timedelta(days=configuration.ml_max_model_age_days),
        cooldown=timedelta(hours=configuration.ml_training_cooldown_hours),
    )


def beginning(first: Configuration, now: datetime) -> Configured:
    """The first revision."""
    return Configured(
        **{name: getattr(first, name) for name in KINDS},
        revision=1,
        changed_at=now,
        changed_by="settings",
    )


def report(
    newest: Configured,
    revisions: Sequence[Configured],
    evolved: Sequence[EvolvedParameters] = (),
) -> ConfigurationReport:
    """Of the attempts for each symbol's parameters, the newest, as many as an answer holds."""
    fields = {field.name: getattr(newest, field.name) for field in dataclasses.fields(newest)}
    share = _MOST_ATTEMPTS // max(len(evolved), 1)
    evolution = tuple(replace(each, history=each.history[:share]) for each in evolved)
    return ConfigurationReport(**fields, history=history(revisions), evolution=evolution)


def differences(old: Configuration, new: Configuration) -> tuple[SettingChange, ...]:
    return tuple(
        SettingChange(setting=name, old=getattr(old, name), new=getattr(new, name))
        for name in KINDS
        if getattr(old, name) != getattr(new, name)
    )


def history(revisions: Sequence[Configured]) -> tuple[ConfigurationChange, ...]:
    """What each of the `revisions` (oldest first) changed, newest first. The oldest is what the
    others are compared with.
    """
    changes = [
        ConfigurationChange(
            revision=new.revision, at=new.changed_at, by=new.changed_by, changes=settings
        )
        for old, new in pairwise(revisions)
        if (settings := differences(old, new))
    ]
    return tuple(reversed(changes))


def _value(name: str, value: object, spelled: str) -> Any:  # noqa: ANN401 - of any type
    try:
        return msgspec.convert(value, KINDS[name], dec_hook=_symbol)
    except msgspec.ValidationError as exc:
        raise InvalidSetting(f"{spelled}={value!r} is not allowed: set {allowed(name)}") from exc


def _symbol(kind: type, value: object) -> object:
    """Raises InvalidSymbol."""
    if kind is Symbol and isinstance(value, str):
        return Symbol(value)
    raise TypeError("not a symbol")


def _incremental(configuration: Configuration, setting: str) -> Schedule:
    expression, zone = configuration.incremental_schedule, configuration.schedule_timezone
    return checked_cron(Mode.INCREMENTAL, expression, zone, setting=setting)


def _full(configuration: Configuration, setting: str) -> Schedule:
    expression, zone = configuration.full_retrain_schedule, configuration.schedule_timezone
    return checked_cron(Mode.FULL, expression, zone, setting=setting)
