from datetime import timedelta
from pathlib import Path

import pytest

from services.scheduler.settings import Settings
from shared.contracts.errors import InvalidSetting
from shared.contracts.terms import Timeframe
from shared.runtime.settings import Environment


def read(**values: str) -> Settings:
    return Settings.read(Environment({"NATS_URL": "nats://nowhere", **values}))


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = read()
    assert settings.provider == "replay"
    assert settings.symbols is None
    assert settings.timeframe is Timeframe.M15
    assert settings.horizons == (1, 3, 7, 14, 30)
    assert settings.policy.per_cycle == 50
    assert settings.policy.max_age == timedelta(days=7)
    assert settings.policy.cooldown == timedelta(hours=6)
    assert not settings.cycling
    assert {s.name: s.expression for s in settings.schedules} == {
        "candles": "0 */15 * * * *",
        "incremental": "0 0 */6 * * *",
        "full": "0 0 2 * * 0",
    }


def test_the_cycle_is_scheduled_once_it_is_enabled() -> None:
    settings = read(AUTO_TRAINING_ENABLED="true", CYCLE_MINUTES="15", ML_TRAIN_INTERVAL_CYCLES="2")
    assert "0 */30 * * * *" in {s.expression for s in settings.schedules if s.name == "cycle"}


def test_what_is_switched_off_is_not_scheduled() -> None:
    settings = read(INCREMENTAL_ENABLED="false", FULL_RETRAIN_ENABLED="no")
    assert [s.name for s in settings.schedules] == ["candles"]


def test_the_zone_is_that_of_both_cron_schedules() -> None:
    schedules = read(SCHEDULE_TIMEZONE="Europe/Istanbul").schedules
    assert {s.name: s.zone for s in schedules} == {
        "candles": "UTC",
        "incremental": "Europe/Istanbul",
        "full": "Europe/Istanbul",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIMEFRAME", "2h"),
        ("HORIZONS", "0"),
        ("HORIZONS", "1,x"),
        ("SYMBOLS", "btc/usdt"),
        ("ML_TRAIN_PER_CYCLE", "0"),
        ("ML_TRAIN_PER_CYCLE", "1.5"),
        ("ML_MAX_MODEL_AGE_DAYS", "-1"),
        ("ML_MAX_MODEL_AGE_DAYS", "nan"),
        ("ML_TRAINING_COOLDOWN_HOURS", "soon"),
        ("ML_TRAIN_INTERVAL_CYCLES", "0"),
        ("CYCLE_MINUTES", "0"),
        ("CANDLE_INTERVAL_MINUTES", "inf"),
        ("AUTO_TRAINING_ENABLED", "perhaps"),
        ("INCREMENTAL_ENABLED", "2"),
        ("INCREMENTAL_SCHEDULE", "every day"),
        ("FULL_RETRAIN_SCHEDULE", "0 0 31 2 *"),
        ("SCHEDULE_TIMEZONE", "Mars/Olympus"),
        ("SYMBOLS_FILE", "/does/not/exist"),
    ],
)
def test_a_bad_value_is_refused_and_the_variable_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=name):
        read(**{name: value})


def test_symbols_are_read_from_a_file_with_remarks(tmp_path: Path) -> None:
    file = tmp_path / "symbols.txt"
    file.write_text("# crypto\nBTC/USDT  # the first\n\n  ETH/USDT\nBTC/USDT\n")
    assert read(SYMBOLS_FILE=str(file)).symbols == ("BTC/USDT", "ETH/USDT")


def test_symbols_that_are_listed_win_over_the_file(tmp_path: Path) -> None:
    assert read(SYMBOLS="AAPL", SYMBOLS_FILE=str(tmp_path / "none")).symbols == ("AAPL",)


@pytest.mark.parametrize("content", [b"", b"# only remarks\n", b"btc\n", b"\xff\xfe\n"])
def test_a_file_without_sound_symbols_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "symbols.txt"
    file.write_bytes(content)
    with pytest.raises(InvalidSetting, match="SYMBOLS_FILE"):
        read(SYMBOLS_FILE=str(file))
