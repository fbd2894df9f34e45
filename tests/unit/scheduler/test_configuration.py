from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.domain.cadence import Intervals
from services.scheduler.domain.configuration import (
    beginning,
    changed,
    differences,
    history,
    policy,
    report,
    schedules,
)
from shared.contracts import codec
from shared.contracts.configuration import (
    KINDS,
    Configuration,
    Configured,
    SettingChange,
    allowed,
    parsed,
)
from shared.contracts.errors import InvalidSetting, InvalidSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.trading import EvolvedParameters, SignalParameters
from tests.support.attempts import attempt

AT = datetime(2026, 11, 22, tzinfo=UTC)
DEFAULT = Configuration()


def scheduled(configuration: Configuration) -> dict[str, str]:
    return {one.name: one.expression for one in schedules(configuration, Intervals())}


def test_the_named_settings_change_and_the_others_keep_their_values() -> None:
    configuration = replace(DEFAULT, train_epochs=300)
    assert changed(configuration, {"ml_train_per_cycle": 10}) == replace(
        configuration, ml_train_per_cycle=10
    )


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("enabled", "true", "true or false"),
        ("enabled", 1, "true or false"),
        ("symbols", "AAPL", "a list of symbols, or null for all"),
        ("symbols", [1], "a list of symbols"),
        ("cycle_minutes", 0, "a number from 0.05 to 1440"),
        ("cycle_minutes", float("nan"), "a number from"),
        ("ml_train_per_cycle", 2.5, "a whole number from 1 to 100000"),
        ("train_epochs", 9, "a whole number from 10 to 5000"),
        ("train_epochs", True, "a whole number"),
        ("train_days_back", 0, "a whole number from 1 to 3650, or null"),
        ("full_retrain_schedule", "daily", "five cron fields"),
        ("full_retrain_schedule", "61 2 * * *", "'61 2 * * *'"),
        ("incremental_schedule", 6, "five cron fields"),
        ("incremental_schedule", "0 0 30 2 *", "'0 0 30 2 *'"),
        ("schedule_timezone", "Mars/Olympus", "a zone like UTC or Europe/Istanbul"),
    ],
)
def test_a_bad_value_is_refused_with_the_setting_the_value_and_what_is_allowed(
    setting: str, value: object, said: str
) -> None:
    with pytest.raises(InvalidSetting) as refusal:
        changed(DEFAULT, {setting: value})
    assert setting in str(refusal.value)
    assert repr(value) in str(refusal.value)
    assert said in str(refusal.value)


def test_a_setting_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(InvalidSetting, match=r"'epochs'; there are enabled, .*train_epochs"):
        changed(DEFAULT, {"epochs": 5})


def test_a_symbol_outside_the_grammar_is_refused_as_everywhere() -> None:
    with pytest.raises(InvalidSymbol):
        changed(DEFAULT, {"symbols": ["AAPL", "btc"]})


@given(
    st.sampled_from(sorted(KINDS)),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
)
def test_whatever_is_sent_is_a_configuration_or_a_setting_to_mend(name: str, value: Any) -> None:
    try:
        configuration = changed(DEFAULT, {name: value})
    except (InvalidSetting, InvalidSymbol):
        return
    schedules(configuration, Intervals())
    assert codec.decode(codec.encode(configuration), Configuration) == configuration


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_value_that_is_written_as_text_reads_as_itself(name: str) -> None:
    value = getattr(DEFAULT, name)
    text = "null" if value is None else codec.encode(value).decode().strip('"')
    assert changed(DEFAULT, {name: parsed(name, text)}) == DEFAULT
    assert allowed(name)


def test_symbols_are_written_with_commas() -> None:
    limited = changed(DEFAULT, {"symbols": parsed("symbols", "AAPL, BRK-B")})
    assert limited.symbols == (Symbol("AAPL"), Symbol("BRK-B"))


def test_without_automation_only_the_retrains_are_scheduled() -> None:
    assert scheduled(DEFAULT).keys() == {
        "candles", "signals", "review", "incremental", "full", "pregeneration", "drift", "cleanup",
    }  # fmt: skip


def test_the_cycle_is_scheduled_once_it_is_enabled() -> None:
    assert scheduled(replace(DEFAULT, enabled=True, cycle_minutes=30))["cycle"] == "0 */30 * * * *"


def test_what_is_switched_off_is_not_scheduled() -> None:
    off = replace(DEFAULT, incremental_enabled=False, full_retrain_enabled=False)
    assert scheduled(off).keys() == {"candles", "signals", "review", "drift", "cleanup"}


def test_the_zone_is_that_of_both_retrains() -> None:
    moved = replace(DEFAULT, schedule_timezone="Europe/Istanbul")
    zones = {one.name: one.zone for one in schedules(moved, Intervals())}
    assert (zones["incremental"], zones["full"], zones["candles"]) == (
        "Europe/Istanbul",
        "Europe/Istanbul",
        "UTC",
    )


def test_the_rules_of_the_cycle_are_those_that_are_configured() -> None:
    rules = policy(replace(DEFAULT, ml_train_per_cycle=9, ml_training_cooldown_hours=0.5))
    assert (rules.per_cycle, rules.cooldown) == (9, timedelta(minutes=30))
    assert rules.max_age == timedelta(days=7)


def revised(before: Configured, **changes: Any) -> Configured:
    return replace(before, revision=before.revision + 1, changed_by="api", **changes)


def test_the_history_says_what_each_revision_changed_newest_first() -> None:
    first = beginning(DEFAULT, AT)
    second = revised(first, train_epochs=300)
    third = revised(second, enabled=True, train_epochs=200)
    newest, older = history([first, second, third])
    assert (newest.revision, older.revision) == (3, 2)
    assert older.changes == (SettingChange(setting="train_epochs", old=200, new=300),)
    assert {change.setting for change in newest.changes} == {"enabled", "train_epochs"}


def test_a_revision_that_changed_nothing_is_no_history() -> None:
    first = beginning(DEFAULT, AT)
    assert history([first, revised(first)]) == ()


@pytest.mark.parametrize("symbols", [40, 545, 4000])
def test_the_parameters_of_a_whole_universe_fit_in_one_answer(symbols: int) -> None:
    long_note = replace(attempt("full-20261121T020000Z", adopted=False), note="x" * 150)
    first = beginning(DEFAULT, AT)
    each = EvolvedParameters(
        symbol=Symbol("BTC/USDT"),
        parameters=SignalParameters(),
        token=4711,
        epoch="1763690000",
        history=(long_note,) * 20,
    )
    shown = report(first, [first], [each] * symbols)
    assert len(codec.encode(shown)) < 1_000_000
    kept = min(800 // symbols, 20)
    assert [len(evolved.history) for evolved in shown.evolution] == [kept] * symbols


def test_a_report_is_the_configuration_in_force_and_its_history() -> None:
    first = beginning(DEFAULT, AT)
    second = revised(first, train_epochs=300)
    shown = report(second, [first, second])
    assert (shown.train_epochs, shown.revision, len(shown.history)) == (300, 2, 1)
    assert differences(shown, second) == ()
