import json
from collections.abc import Generator
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from services.gateway.domain import wire
from shared.contracts.errors import MalformedMessage

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def parsed(data: bytes) -> Frame:
    """As the reference implementation reads it."""
    reader = StreamReader()
    reader.feed_data(data)
    parser: Generator[None, None, Frame] = Frame.parse(reader.read_exact, mask=False)
    try:
        next(parser)
    except StopIteration as stop:
        frame: Frame = stop.value
        return frame
    raise AssertionError("half a frame")


@given(st.integers(0, 70_000))
def test_a_frame_of_any_length_is_read_back_whole(size: int) -> None:
    text = b"x" * size
    frame = parsed(wire.framed(text))
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.TEXT, True, text)


def test_the_ready_ping_is_a_ping() -> None:
    assert parsed(wire.PING_FRAME).opcode is Opcode.PING


@given(st.text(), st.integers(0, 1 << 53), st.dictionaries(st.text(), st.integers(-5, 5)))
def test_an_event_is_json_whatever_it_is_about(
    channel: str, seq: int, data: dict[str, int]
) -> None:
    frame = wire.event(channel, seq, AT, json.dumps(data).encode())
    assert json.loads(bytes(parsed(frame).data)) == {
        "type": "event",
        "channel": channel,
        "seq": seq,
        "at": "2026-11-20T12:00:00Z",
        "data": data,
    }


@pytest.mark.parametrize("size", [1, 40, 120, 70_000])
def test_a_conflated_event_says_how_many_were_left_out(size: int) -> None:
    data = json.dumps("x" * size).encode()
    frame = wire.conflated(wire.event("system", 9, AT, data), 4)
    message = json.loads(bytes(parsed(frame).data))
    assert (message["seq"], message["conflated"], message["data"]) == (9, 4, "x" * size)


@given(st.binary(max_size=200))
def test_what_a_client_sends_is_read_or_refused_and_nothing_else(text: bytes) -> None:
    with suppress(MalformedMessage):
        assert isinstance(wire.read(text), wire.ClientMessage)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"op":"shout"}',
        b'{"op":"subscribe"}',
        b'{"op":"subscribe","channels":"training"}',
        b'{"op":"subscribe","channels":["training"],"since":{"training":{"seq":"1"}}}',
        b'{"op":"auth"}',
        b'{"op":"ping","x":' + b"[" * 30_000,
    ],
)
def test_a_message_that_is_not_in_the_contract_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedMessage):
        wire.read(text)


def test_a_subscription_with_positions_is_read() -> None:
    text = (
        b'{"op":"subscribe","id":1,"channels":["training"],'
        b'"since":{"training":{"epoch":"e","seq":4}}}'
    )
    assert wire.read(text) == wire.Subscribe(
        channels=("training",), id=1, since={"training": wire.Position("e", 4)}
    )
