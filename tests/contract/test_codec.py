import json
import math
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import codec
from shared.contracts.errors import InvalidSymbol, MalformedMessage
from shared.contracts.events import Event
from shared.contracts.records import Problem, RunRecord
from shared.contracts.requests import JobOrder, PredictRequest, TopRequest, TrainRequest
from shared.contracts.terms import Source
from tests.contract.wire import decode, golden_files, read, wire_classes

STEMS = sorted(wire_classes())
REFUSALS = (MalformedMessage, InvalidSymbol)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(STEMS), st.binary())
def test_noise_fails_as_malformed_or_not_at_all(stem: str, data: bytes) -> None:
    with suppress(*REFUSALS):
        decode(stem, data)


@given(st.data())
def test_a_message_with_one_changed_value_is_read_or_refused(data: st.DataObject) -> None:
    stem = data.draw(st.sampled_from(STEMS))
    message = json.loads(read(golden_files(stem)[-1]))
    if not message:
        return
    message[data.draw(st.sampled_from(sorted(message)))] = data.draw(json_values)
    with suppress(*REFUSALS):
        codec.encode(decode(stem, json.dumps(message).encode()))


@given(st.sampled_from(STEMS), st.data())
def test_a_cut_message_is_refused(stem: str, data: st.DataObject) -> None:
    whole = read(golden_files(stem)[-1])
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    with pytest.raises(REFUSALS):
        decode(stem, cut)


@pytest.mark.parametrize("opened", [b"[", b'{"x":'])
@pytest.mark.parametrize("prefix", [b"", b'{"symbols":', b'{"from_the_future":'])
def test_bottomless_nesting_is_refused(prefix: bytes, opened: bytes) -> None:
    with pytest.raises(MalformedMessage):
        codec.decode(prefix + opened * 100_000, TrainRequest)
    with pytest.raises(MalformedMessage):
        codec.decode_event(prefix + opened * 100_000)


@pytest.mark.parametrize("payload", [b"", b"  \n", b"{}"])
def test_an_empty_payload_is_a_request_with_every_default(payload: bytes) -> None:
    assert codec.decode(payload, TrainRequest) == TrainRequest()
    assert codec.decode(payload, TopRequest) == TopRequest(n=20, sort="confidence")


def test_an_empty_payload_is_not_an_event() -> None:
    with pytest.raises(MalformedMessage):
        codec.decode_event(b"")


def test_a_refusal_names_the_field() -> None:
    with pytest.raises(MalformedMessage, match=r"batch_size"):
        codec.decode(b'{"batch_size":"many"}', TrainRequest)


@pytest.mark.parametrize(
    "body",
    [
        {"batch_size": 0},
        {"batch_size": 1001},
        {"batch_size": True},
        {"batch_size": 1.5},
        {"source": "somebody"},
        {"request_id": ""},
        {"request_id": "a.b"},
        {"request_id": "a*"},
        {"request_id": "a\n"},
        {"request_id": "-a"},
        {"request_id": "a" * 65},
        {"symbols": "BTC/USDT"},
        {"symbols": [1]},
        {"symbols": ["btc/usdt"]},
        {"symbols": ["BTC/USDT", None]},
    ],
)
def test_a_train_request_outside_the_contract_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(REFUSALS):
        codec.decode(json.dumps(body).encode(), TrainRequest)


def test_a_symbol_outside_the_grammar_keeps_its_own_error() -> None:
    with pytest.raises(InvalidSymbol):
        codec.decode(b'{"symbol":"../etc"}', PredictRequest)


def test_a_time_without_its_zone_is_refused() -> None:
    order = json.loads(read(golden_files("requests/JobOrder")[-1]))
    order["created_at"] = "2026-11-22T02:00:00"
    with pytest.raises(MalformedMessage, match="created_at"):
        codec.decode(json.dumps(order).encode(), JobOrder)


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_survive_to_the_microsecond(at: datetime) -> None:
    record = codec.decode(read(golden_files("records/RunRecord")[-1]), RunRecord)
    record = replace(record, requested_at=at)
    assert codec.decode(codec.encode(record), RunRecord) == record


def test_times_are_written_in_utc_with_z() -> None:
    east = timezone(timedelta(hours=3))
    written = codec.encode({"at": datetime(2026, 11, 22, 5, tzinfo=east).astimezone(UTC)})
    assert written == b'{"at":"2026-11-22T02:00:00Z"}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_written_as_null(number: float) -> None:
    assert codec.encode({"x": number}) == b'{"x":null}'


@given(st.text(), st.text())
def test_any_text_survives_the_wire(code: str, message: str) -> None:
    problem = Problem(code=code, message=message)
    assert codec.decode(codec.encode(problem), Problem) == problem


def test_defaults_of_a_request_may_be_left_out() -> None:
    assert codec.decode(b'{"source":"api"}', TrainRequest).source is Source.API


def test_events_compare_by_value() -> None:
    data = read(golden_files("events/job.failed")[-1])
    first: Event = codec.decode_event(data)
    assert first == codec.decode_event(data)
