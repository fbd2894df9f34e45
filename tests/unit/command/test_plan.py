from collections.abc import Mapping
from pathlib import Path

from evertrain.up import DEMO, plan
from shared.runtime.settings import Environment


def planned(
    values: dict[str, str] | None = None,
    *,
    demo: bool = False,
    data_dir: Path | None = None,
    host: str | None = None,
    port: int | None = None,
) -> Mapping[str, str]:
    env = Environment(values or {})
    return plan(env, demo=demo, data_dir=data_dir, host=host, port=port).environment


def test_the_demo_sets_what_the_user_has_not_set() -> None:
    environment = planned({"SYMBOLS": "IBM"}, demo=True)
    assert environment["DATA_PROVIDER"] == "replay"
    assert "SYMBOLS" not in environment  # the user's, from wherever it comes


def test_without_the_demo_nothing_of_it_is_set() -> None:
    assert not planned({"TIMEFRAME": "1h"}).keys() & (DEMO.keys() - {"SYMBOLS"})


def test_options_win_over_settings(tmp_path: Path) -> None:
    values = {"GATEWAY_PORT": "9000", "GATEWAY_HOST": "127.0.0.1", "DATA_DIR": "/elsewhere"}
    environment = planned(values, port=9001, host="127.0.0.2", data_dir=tmp_path)
    assert environment["GATEWAY_PORT"] == "9001"
    assert environment["GATEWAY_HOST"] == "127.0.0.2"
    assert environment["DATA_DIR"] == str(tmp_path)
