from pathlib import Path

import pytest

from services.scheduler.domain.cadence import Intervals
from services.scheduler.settings import Settings
from shared.contracts.configuration import Configuration
from shared.contracts.errors import InvalidSetting
from shared.contracts.terms import Timeframe
from shared.runtime.settings import Environment


def read(**values: str) -> Settings:
    given = {"NATS_URL": "nats://nowhere", "DATA_PROVIDER": "synthetic", **values}
    return Settings.read(Environment(given))


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = read()
    assert settings.symbols is None
    assert settings.timeframe is Timeframe.M15
    assert settings.horizons == (1, 3, 7, 14, 30)
    assert settings.intervals == Intervals(
        candle_minutes=15, signal_minutes=5, drift_hours=24, cleanup_hours=24
    )
    assert (settings.configuration, settings.named) == (Configuration(), frozenset())


def test_the_environment_names_settings_of_training_in_capitals() -> None:
    settings = read(
        AUTO_TRAINING_ENABLED="yes",
        CYCLE_MINUTES="7.5",
        INCREMENTAL_SCHEDULE="0 */4 * * *",
        SCHEDULE_TIMEZONE="Europe/Istanbul",
        TRAIN_DAYS_BACK="730",
    )
    assert settings.configuration == Configuration(
        enabled=True,
        cycle_minutes=7.5,
        incremental_schedule="0 */4 * * *",
        schedule_timezone="Europe/Istanbul",
        train_days_back=730,
    )
    assert settings.named == {
        "enabled",
        "cycle_minutes",
        "incremental_schedule",
        "schedule_timezone",
        "train_days_back",
    }


def test_without_a_provider_it_is_said_what_to_choose_from_and_that_there_is_a_demo() -> None:
    said = "DATA_PROVIDER is not set: choose from .*ccxt:EXCHANGE.*`evertrain up --demo`"
    with pytest.raises(InvalidSetting, match=said):
        read(DATA_PROVIDER="")


def test_a_provider_without_candles_of_the_timeframe_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="replay has no 15m candles: set TIMEFRAME to 1d"):
        read(DATA_PROVIDER="replay")
    assert read(DATA_PROVIDER="replay", TIMEFRAME="1d").provider == "replay"


@pytest.mark.parametrize(
    ("values", "days"),
    [
        ({"AUTO_TRAINING_INTERVAL_DAYS": "3"}, 3),
        ({"AUTO_TRAINING_INTERVAL_DAYS": "3", "ML_MAX_MODEL_AGE_DAYS": "5"}, 5),
    ],
)
def test_the_interval_of_automation_is_the_age_at_which_a_model_is_due(
    values: dict[str, str], days: int
) -> None:
    assert read(**values).configuration.ml_max_model_age_days == days


def test_the_symbols_of_the_environment_are_the_universe_and_no_limit_of_the_cycle() -> None:
    settings = read(SYMBOLS="AAPL,MSFT")
    assert settings.symbols == ("AAPL", "MSFT")
    assert settings.configuration.symbols is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATA_PROVIDER", "mtgox"),
        ("DATA_PROVIDER", "synthetic:0"),
        ("DATA_PROVIDER", "files:/does/not/exist"),
        ("TIMEFRAME", "2h"),
        ("HORIZONS", "0"),
        ("HORIZONS", "1,x"),
        ("SYMBOLS", "btc/usdt"),
        ("ML_TRAIN_PER_CYCLE", "0"),
        ("ML_TRAIN_PER_CYCLE", "1.5"),
        ("ML_MAX_MODEL_AGE_DAYS", "-1"),
        ("ML_MAX_MODEL_AGE_DAYS", "nan"),
        ("AUTO_TRAINING_INTERVAL_DAYS", "weekly"),
        ("ML_TRAINING_COOLDOWN_HOURS", "soon"),
        ("ML_TRAIN_INTERVAL_CYCLES", "0"),
        ("CYCLE_MINUTES", "0"),
        ("CANDLE_INTERVAL_MINUTES", "inf"),
        ("SIGNAL_INTERVAL_MINUTES", "0"),
        ("DRIFT_INTERVAL_HOURS", "-1"),
        ("CLEANUP_INTERVAL_HOURS", "daily"),
        ("AUTO_TRAINING_ENABLED", "perhaps"),
        ("INCREMENTAL_ENABLED", "2"),
        ("INCREMENTAL_SCHEDULE", "every day"),
        ("FULL_RETRAIN_SCHEDULE", "0 0 31 2 *"),
        ("SCHEDULE_TIMEZONE", "Mars/Olympus"),
        ("SYMBOLS_FILE", "/does/not/exist"),
        ("TRAIN_BATCH_SIZE", "1001"),
        ("TRAIN_MONTHS_BACK", "0"),
        ("TRAIN_DAYS_BACK", "-1"),
        ("TRAIN_EPOCHS", "1.5"),
        ("INCREMENTAL_EPOCHS", "31"),
        ("QUICK_TRAINING_MIN_DAYS", "0"),
        ("QUICK_TRAINING_TEST_DAYS", "0"),
        ("FULL_TRAINING_MIN_DAYS", "x"),
        ("FULL_TRAINING_TEST_DAYS", "1000"),
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
