import json
import logging
from pathlib import Path

import pytest

from evertrain.logbook import logbook
from evertrain.monitor import recent_lines

LINE = '{"at":"2026-01-01T00:00:0%dZ","level":"warning","service":"trainer","message":"m%d","n":%d}'


def test_a_line_is_kept_as_it_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logbook(tmp_path) as book:
        book.write("trainer", LINE % (1, 1, 1))
    assert (tmp_path / "trainer.log").read_text() == LINE % (1, 1, 1) + "\n"
    assert capsys.readouterr().err == LINE % (1, 1, 1) + "\n"


@pytest.mark.parametrize("line", ["Segmentation fault", "", "[1]", '{"at": 3}', "7"])
def test_a_line_that_is_no_log_line_becomes_the_message_of_one(tmp_path: Path, line: str) -> None:
    with logbook(tmp_path) as book:
        book.write("trainer", line)
    kept = json.loads((tmp_path / "trainer.log").read_text())
    assert (kept["service"], kept["message"]) == ("trainer", line)


def test_what_the_supervisor_logs_is_kept_too(tmp_path: Path) -> None:
    with logbook(tmp_path):
        logging.getLogger("evertrain").error("the trainer ended")
    assert json.loads((tmp_path / "up.log").read_text())["message"] == "the trainer ended"


def test_the_files_are_bounded(tmp_path: Path) -> None:
    with logbook(tmp_path) as book:
        for _ in range(300):
            book.write("trainer", "x" * 100_000)
    sizes = [path.stat().st_size for path in tmp_path.glob("trainer.log*")]
    assert len(sizes) == 3
    assert sum(sizes) < 16 << 20


def test_the_newest_lines_of_all_services_are_shown_in_order(tmp_path: Path) -> None:
    with logbook(tmp_path) as book:
        for second in (1, 4):
            book.write("trainer", LINE % (second, second, second))
        for second in (2, 3):
            book.write("gateway", LINE % (second, second, second))
    shown = recent_lines(tmp_path, 3)
    assert [line.split("WARNING ")[1] for line in shown] == ["m2 n=2", "m3 n=3", "m4 n=4"]


def test_without_logs_there_are_no_lines(tmp_path: Path) -> None:
    assert recent_lines(tmp_path / "nowhere", 3) == []
