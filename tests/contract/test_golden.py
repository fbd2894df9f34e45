"""What was once written can be read for ever."""

import json
from typing import Any

import pytest

from shared.contracts import codec
from shared.contracts.errors import MalformedMessage
from shared.contracts.symbols import Symbol
from tests.contract.wire import all_golden_files, decode, golden_files, read, wire_classes

STEMS = sorted(wire_classes())


@pytest.mark.parametrize("stem", STEMS)
def test_every_class_on_the_wire_has_a_golden_file(stem: str) -> None:
    assert golden_files(stem), f"write tests/contract/golden/{stem}.1.json, once"


@pytest.mark.parametrize("stem", STEMS)
def test_the_newest_golden_file_reads_and_writes_to_the_same_bytes(stem: str) -> None:
    data = read(golden_files(stem)[-1])
    assert codec.encode(decode(stem, data)) == data


@pytest.mark.parametrize("stem", STEMS)
def test_no_golden_file_loses_a_value_on_its_way_through(stem: str) -> None:
    for path in golden_files(stem):
        data = read(path)
        assert_kept(json.loads(data), json.loads(codec.encode(decode(stem, data))))


@pytest.mark.parametrize("stem", STEMS)
def test_a_field_of_a_later_version_is_ignored(stem: str) -> None:
    data = read(golden_files(stem)[-1])
    later = {**json.loads(data), "from_the_future": {"deeply": [1, None, "x"]}}
    assert decode(stem, json.dumps(later).encode()) == decode(stem, data)


def test_every_golden_file_belongs_to_a_class() -> None:
    known = {path for stem in STEMS for path in golden_files(stem)}
    assert {path for path in all_golden_files() if path.is_file()} == known


@pytest.mark.parametrize("field", ["v", "type"])
def test_an_event_of_another_version_or_type_is_refused(field: str) -> None:
    event = json.loads(read(golden_files("events/run.started")[-1]))
    with pytest.raises(MalformedMessage):
        codec.decode_event(json.dumps({**event, field: "2"}).encode())


def test_an_event_without_its_type_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        codec.decode_event(b'{"v":1,"id":"x","at":"2026-11-22T02:00:00Z"}')


def test_symbols_come_back_as_symbols() -> None:
    event = decode("events/job.started", read(golden_files("events/job.started")[-1]))
    assert type(event.symbol) is Symbol


def assert_kept(old: Any, new: Any) -> None:
    """`new` holds everything that `old` holds, in the same places."""
    if isinstance(old, dict):
        for key, value in old.items():
            assert_kept(value, new[key])
    elif isinstance(old, list):
        assert len(old) == len(new)
        for mine, other in zip(old, new, strict=True):
            assert_kept(mine, other)
    else:
        assert old == new
