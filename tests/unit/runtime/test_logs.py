import asyncio
import json
import logging
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime import logs
from shared.runtime.logs import Json, mark, readable, structured


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("x", logging.INFO, "x.py", 1, message, args, None)
    made.created = datetime(2026, 11, 22, 2, tzinfo=UTC).timestamp()
    vars(made).update(extra)
    return made


def test_a_line_says_when_how_bad_who_and_what() -> None:
    assert json.loads(Json("trainer").format(record("%s is live", "BTC/USDT"))) == {
        "at": "2026-11-22T02:00:00Z",
        "level": "info",
        "service": "trainer",
        "message": "BTC/USDT is live",
    }


def test_what_is_given_along_becomes_fields() -> None:
    line = json.loads(Json("trainer").format(record("done", symbol="BTC/USDT", seconds=1.5)))
    assert (line["symbol"], line["seconds"]) == ("BTC/USDT", 1.5)


def test_an_error_carries_its_traceback_in_the_same_line() -> None:
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError:
        failed = record("failed", exc_info=sys.exc_info())
    line = Json("trainer").format(failed)
    assert "\n" not in line
    assert json.loads(line)["traceback"].endswith("ZeroDivisionError: a bug")


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text() | st.integers()))
def test_no_text_can_add_a_line(message: str, given_along: dict[str, str | int]) -> None:
    own = vars(record("")).keys()
    extra = {key: value for key, value in given_along.items() if key not in own}
    line = Json("trainer").format(record("%s", message, **extra))
    assert "\n" not in line
    assert json.loads(line)["message"] == message


@pytest.mark.parametrize("value", [2**70, "\ud800", object(), float("nan"), b"\xff", {1: {2}}])
def test_a_value_that_json_does_not_know_is_written_all_the_same(value: object) -> None:
    assert "odd" in json.loads(Json("trainer").format(record("m %s", value, odd=value)))


def test_what_is_given_along_cannot_pretend_to_be_another_service() -> None:
    line = json.loads(Json("trainer").format(record("m", service="gateway", level="error")))
    assert (line["service"], line["level"]) == ("trainer", "info")


def test_a_structured_line_stays_as_it_is_and_reads_well() -> None:
    line = Json("trainer").format(record("done", symbol="BTC/USDT"))
    assert structured(line, "gateway") == line
    assert readable(line).endswith("trainer   done symbol=BTC/USDT")


@given(st.text())
def test_any_other_line_becomes_the_message_of_a_structured_one(line: str) -> None:
    fields = json.loads(structured(line, "gateway"))
    assert (fields["service"], fields["message"]) == ("gateway", line)


def test_people_see_tracebacks_and_urgency() -> None:
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError:
        failed = record("failed", exc_info=sys.exc_info())
    failed.levelno, failed.levelname = logging.ERROR, "ERROR"
    shown = readable(Json("trainer").format(failed))
    assert "ERROR failed" in shown
    assert shown.endswith("ZeroDivisionError: a bug")


def test_a_terminal_shows_no_control_characters_of_others() -> None:
    shown = readable(Json("trainer").format(record("a\n02:00:00 gateway all is well\x1b[2J\x07")))
    assert len(shown.splitlines()) == 1
    assert "\x1b" not in shown


def test_configuring_sends_every_line_to_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    logs.configure("tested")
    logging.getLogger("anything").warning("seen")
    logging.getLogger("anything").debug("unseen")
    out, err = capsys.readouterr()
    assert out == ""
    assert [json.loads(line)["message"] for line in err.splitlines()] == ["seen"]


async def test_a_mark_is_on_every_line_of_its_task_and_of_no_other() -> None:
    lines: list[dict[str, object]] = []

    def note() -> None:
        record = logging.makeLogRecord({"msg": "done"})
        lines.append(json.loads(Json("test").format(record)))

    async def marked() -> None:
        mark(request_id="r-1")
        note()

    async with asyncio.TaskGroup() as group:
        group.create_task(marked())
    note()
    assert [line.get("request_id") for line in lines] == ["r-1", None]
