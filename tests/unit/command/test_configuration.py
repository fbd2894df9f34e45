from pathlib import Path

import pytest

from evertrain.configuration import DEMO, SERVICES, check_settings, chosen
from shared.contracts.errors import InvalidSetting
from shared.runtime.settings import Environment


def settings(
    values: dict[str, str] | None = None,
    *,
    demo: bool = False,
    data_dir: Path | None = None,
    host: str | None = None,
    port: int | None = None,
) -> dict[str, str]:
    env = Environment(values or {})
    return chosen(env, demo=demo, data_dir=data_dir, host=host, port=port)


def test_the_demo_sets_what_the_user_has_not_set() -> None:
    made = settings({"SYMBOLS": "IBM"}, demo=True)
    assert made["DATA_PROVIDER"] == "replay"
    assert "SYMBOLS" not in made


def test_without_the_demo_nothing_of_it_is_set() -> None:
    assert not settings({"TIMEFRAME": "1h"}).keys() & DEMO.keys()


def test_options_win_over_settings(tmp_path: Path) -> None:
    values = {"GATEWAY_PORT": "9000", "GATEWAY_HOST": "127.0.0.1", "DATA_DIR": "/elsewhere"}
    assert settings(values, port=9001, host="127.0.0.2", data_dir=tmp_path) == {
        "GATEWAY_PORT": "9001",
        "GATEWAY_HOST": "127.0.0.2",
        "DATA_DIR": str(tmp_path),
    }


def test_a_data_directory_means_the_same_wherever_a_service_stands() -> None:
    assert settings(data_dir=Path("data"))["DATA_DIR"] == str(Path.cwd() / "data")
    assert settings({"DATA_DIR": "~/data"})["DATA_DIR"] == str(Path.home() / "data")


def test_a_file_of_symbols_replaces_those_of_the_demo() -> None:
    assert "SYMBOLS" not in settings({"SYMBOLS_FILE": "mine.txt"}, demo=True)


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_starts_with_the_demo_and_with_nothing_but_a_provider(service: str) -> None:
    check_settings(service, Environment(DEMO))
    check_settings(service, Environment({"DATA_PROVIDER": "synthetic"}))


def test_without_a_provider_and_without_the_demo_nothing_is_started() -> None:
    with pytest.raises(InvalidSetting, match="DATA_PROVIDER is not set"):
        check_settings("scheduler", Environment({}))


@pytest.mark.parametrize(
    ("service", "name", "value"),
    [
        ("scheduler", "HORIZONS", "x"),
        ("scheduler", "TIMEFRAME", "2w"),
        ("trainer", "TRAINER_PROCESSES", "0"),
        ("scheduler", "TRAIN_BATCH_SIZE", "0"),
        ("predictor", "PREDICTION_CACHE_TTL_HOURS", "never"),
        ("gateway", "GATEWAY_HOST", "0.0.0.0"),
    ],
)
def test_what_a_service_would_refuse_is_refused_by_name(
    service: str, name: str, value: str
) -> None:
    with pytest.raises(InvalidSetting, match=name):
        check_settings(service, Environment({**DEMO, name: value}))
