from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.errors import InvalidSetting
from shared.contracts.terms import Timeframe
from shared.runtime.settings import Environment, environment

Read = Callable[[Environment], object]

READERS: dict[str, tuple[Read, str]] = {
    "flag": (lambda env: env.flag("X", default=True), "true or false"),
    "integer": (lambda env: env.integer("X", 5, least=1, most=20), "a whole number from 1 to 20"),
    "decimal": (lambda env: env.decimal("X", 0.5, least=0, most=1), "a number from 0 to 1"),
    "timeframe": (lambda env: env.timeframe("X", Timeframe.M15), "one of 1m 5m 15m 1h 4h 1d"),
    "horizons": (lambda env: env.horizons("X", (1, 3)), "from 1 to 500"),
    "symbols": (lambda env: env.symbols("X"), "BTC/USDT"),
    "file": (lambda env: env.file("X"), "a file that exists"),
}

BAD = [
    ("flag", "maybe"),
    ("flag", "2"),
    ("integer", "0"),
    ("integer", "21"),
    ("integer", "1.5"),
    ("integer", "five"),
    ("integer", "1" + "0" * 400),
    ("integer", "9" * 5000),
    ("decimal", "1.01"),
    ("decimal", "-0.1"),
    ("decimal", "nan"),
    ("decimal", "inf"),
    ("decimal", "1e999"),
    ("decimal", "half"),
    ("decimal", "0,5"),
    ("timeframe", "15"),
    ("timeframe", "15M"),
    ("horizons", "0"),
    ("horizons", "501"),
    ("horizons", "1,,3"),
    ("horizons", "1;3"),
    ("horizons", "-1"),
    ("horizons", "1.5"),
    ("horizons", "\u00b2"),
    ("horizons", "\u0661"),
    ("horizons", "9" * 5000),
    ("symbols", "btc/usdt"),
    ("symbols", "BTC/USDT,"),
    ("symbols", "BTC/USDT;ETH/USDT"),
    ("file", "/nowhere/at/all"),
    ("file", "/"),
]


@pytest.mark.parametrize(("reader", "value"), BAD, ids=[f"{r}={v[:12]}" for r, v in BAD])
def test_a_bad_value_is_refused_by_name_with_the_value_and_what_is_allowed(
    reader: str, value: str
) -> None:
    read, allowed = READERS[reader]
    with pytest.raises(InvalidSetting) as refused:
        read(Environment({"X": value}))
    message = str(refused.value)
    assert message.startswith("X")
    assert value.strip(",;")[:8] in message or repr(value)[1:-1][:8] in message
    assert allowed in message


@pytest.mark.parametrize("empty", [None, "", "   "])
@pytest.mark.parametrize("reader", READERS)
def test_unset_and_empty_give_the_default(reader: str, empty: str | None) -> None:
    read, _ = READERS[reader]
    assert read(Environment({"X": empty})) == read(Environment({}))


@given(st.text(max_size=12), st.sampled_from(sorted(READERS)))
def test_any_text_is_a_value_or_refused(text: str, reader: str) -> None:
    read, _ = READERS[reader]
    try:
        read(Environment({"X": text.replace("\0", "")}))
    except InvalidSetting:
        return


@pytest.mark.parametrize(
    ("value", "meaning"),
    [("1", True), ("TRUE", True), ("yes", True), (" on ", True), ("0", False), ("No", False)],
)
def test_a_flag_can_be_written_in_many_ways(value: str, meaning: bool) -> None:
    assert Environment({"X": value}).flag("X", default=not meaning) is meaning


@given(st.integers(-3, 30))
def test_an_integer_is_accepted_up_to_both_ends_of_its_range(number: int) -> None:
    read, _ = READERS["integer"]
    env = Environment({"X": str(number)})
    if 1 <= number <= 20:
        assert read(env) == number
    else:
        with pytest.raises(InvalidSetting):
            read(env)


def test_horizons_are_sorted_and_distinct() -> None:
    assert Environment({"X": "7, 1,3,1,500"}).horizons("X", ()) == (1, 3, 7, 500)


def test_symbols_keep_their_order_and_lose_their_repeats() -> None:
    env = Environment({"X": "THYAO.IS, BTC/USDT,THYAO.IS"})
    assert env.symbols("X") == ("THYAO.IS", "BTC/USDT")


def test_a_path_may_begin_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert Environment({"X": "~/data"}).path("X", Path()) == Path("/home/someone/data")


def test_the_home_of_nobody_is_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"X='~nobody-at-all/data'"):
        Environment({"X": "~nobody-at-all/data"}).path("X", Path())


def test_the_data_directory_follows_data_dir_then_xdg_then_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    xdg = {"XDG_DATA_HOME": "/xdg"}
    assert Environment({**xdg, "DATA_DIR": "/data"}).data_dir() == Path("/data")
    assert Environment(xdg).data_dir() == Path("/xdg/evertrain")
    assert Environment({}).data_dir() == Path("/home/someone/.local/share/evertrain")


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("A=file\nB=file\n# a comment\nC='with # and spaces'\n")
    monkeypatch.setenv("A", "process")
    env = environment(dotenv)
    assert [env.text(name, "default") for name in "ABC"] == ["process", "file", "with # and spaces"]


def test_there_need_be_no_file(tmp_path: Path) -> None:
    assert environment(tmp_path / ".env").text("NOT_SET_ANYWHERE", "default") == "default"


def test_a_file_that_is_not_text_is_refused_by_name(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(b"A=\xff\xfe")
    with pytest.raises(InvalidSetting, match=r"\.env cannot be read"):
        environment(dotenv)
