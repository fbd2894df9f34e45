"""Sections 1 to 7 of the Autobahn suite, frame by frame, and frames that nobody would send.

The suite itself needs Python 2.7. What it expects of an echo server is said here of ours: binary is
not part of our protocol, and a message has at most 64 KiB.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain import limits
from services.gateway.domain.wire import Close
from tests.support.sockets import Desk, connected

TEXT, BINARY, CLOSE, PING, PONG, MORE = 1, 2, 8, 9, 10, 0
PROTOCOL_ERROR = 1002


class Said(NamedTuple):
    """A frame that the server sent."""

    opcode: int
    data: bytes


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """As a client sends it: masked."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    size = len(data)
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += struct.pack("!BH", 0x80 | 126, size)
    else:
        head += struct.pack("!BQ", 0x80 | 127, size)
    mask = b"\x01\x02\x03\x04"
    return head + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))


def text(data: str | bytes) -> bytes:
    return frame(TEXT, data.encode() if isinstance(data, str) else data)


def fragments(*parts: bytes, opcode: int = TEXT) -> list[bytes]:
    last = len(parts) - 1
    return [frame(opcode if n == 0 else MORE, part, fin=n == last) for n, part in enumerate(parts)]


def goodbye(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def said(data: bytes) -> Iterator[Said]:
    """Raises AssertionError for anything that a server may not send."""
    while data:
        first, size = data[0], data[1]
        assert first & 0x70 == 0, "a reserved bit"
        assert first & 0x80, "a fragment"
        assert size < 128, "masked"
        at = 2
        if size == 126:
            size, at = struct.unpack_from("!H", data, 2)[0], 4
        elif size == 127:
            size, at = struct.unpack_from("!Q", data, 2)[0], 10
        assert len(data) >= at + size, "cut short"
        yield Said(first & 15, data[at : at + size])
        data = data[at + size :]


def answers(*pieces: bytes, desk: Desk | None = None) -> list[Said]:
    """What an echo desk's server sends when these bytes arrive one after another."""
    server, pipe = connected(desk or Desk())
    for piece in pieces:
        if not pipe.ended:
            server.data_received(piece)
    found = list(said(b"".join(pipe.written)))
    server.connection_lost(None)
    return found


def codes(found: Iterable[Said]) -> list[int | None]:
    return [
        struct.unpack("!H", frame.data[:2])[0] if frame.data else None
        for frame in found
        if frame.opcode == CLOSE
    ]


@pytest.mark.parametrize("size", [0, 125, 126, 127, 128, 65_535, 65_536])
@pytest.mark.parametrize("cut", [0, 997, 2])
async def test_1_text_of_any_size_comes_back_however_it_is_cut(size: int, cut: int) -> None:
    sent = text("*" * size)
    pieces = [sent[at : at + cut] for at in range(0, len(sent), cut)] if cut else [sent]
    assert answers(*pieces) == [Said(TEXT, b"*" * size)]


@pytest.mark.parametrize("size", [0, 125, 126, 65_536])
async def test_1_binary_is_not_spoken_here(size: int) -> None:
    assert codes(answers(frame(BINARY, b"\xfe" * size))) == [Close.BAD_MESSAGE]


@pytest.mark.parametrize("data", [b"", b"Hello", b"\x00\xff\xfe\xfd", b"\xfe" * 125])
async def test_2_a_ping_is_answered_with_what_it_bears(data: bytes) -> None:
    assert answers(frame(PING, data)) == [Said(PONG, data)]
    assert answers(*[frame(PING, data)] * 10) == [Said(PONG, data)] * 10


async def test_2_a_ping_that_is_too_long_ends_it() -> None:
    assert codes(answers(frame(PING, b"\xfe" * 126))) == [PROTOCOL_ERROR]


async def test_2_a_pong_that_nobody_asked_for_is_nothing() -> None:
    assert answers(frame(PONG, b"x"), frame(PING, b"y")) == [Said(PONG, b"y")]


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
async def test_3_a_reserved_bit_ends_it(rsv: int, opcode: int) -> None:
    found = answers(text("before"), frame(opcode, b"x", rsv=rsv), frame(PING))
    assert found[0] == Said(TEXT, b"before")
    assert (codes(found), len(found)) == ([PROTOCOL_ERROR], 2)


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
async def test_4_a_reserved_opcode_ends_it(opcode: int) -> None:
    assert codes(answers(frame(opcode, b"x"), frame(PING))) == [PROTOCOL_ERROR]


@pytest.mark.parametrize("opcode", [PING, PONG])
async def test_5_a_control_frame_in_fragments_ends_it(opcode: int) -> None:
    sent = fragments(b"frag", b"ment", opcode=opcode)
    assert codes(answers(*sent)) == [PROTOCOL_ERROR]


async def test_5_text_in_fragments_comes_back_whole_with_pings_in_between() -> None:
    one, two, three = fragments(b"frag", b"", b"ment")
    found = answers(one, frame(PING, b"1"), two, frame(PING, b"2"), three)
    assert found == [Said(PONG, b"1"), Said(PONG, b"2"), Said(TEXT, b"fragment")]


@pytest.mark.parametrize("fin", [True, False])
async def test_5_a_continuation_of_nothing_ends_it(fin: bool) -> None:
    assert codes(answers(frame(MORE, b"x", fin=fin), text("y"))) == [PROTOCOL_ERROR]


async def test_5_a_message_that_begins_in_another_ends_it() -> None:
    assert codes(answers(frame(TEXT, b"x", fin=False), text("y"))) == [PROTOCOL_ERROR]


@pytest.mark.parametrize(
    "valid",
    [
        *("", "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\x00", "\x7f", "\x80", "\u07ff", "\u0800"),
        *("\ud7ff", "\ue000", "\ufffd", "\ufffe", "\uffff", "\U00010000", "\U0010ffff"),
    ],
)
async def test_6_valid_text_comes_back_however_it_is_fragmented(valid: str) -> None:
    data = valid.encode()
    assert answers(text(valid)) == [Said(TEXT, data)]
    parts = [data[n : n + 1] for n in range(len(data))] or [b""]
    assert answers(*fragments(*parts)) == [Said(TEXT, data)]


@pytest.mark.parametrize(
    "invalid",
    [
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        *(b"\x80", b"\xbf", b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xfe", b"\xff"),
        *(b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf"),
        *(b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf7\xbf\xbf\xbf", b"ab\xce"),
    ],
)
async def test_6_text_that_is_not_utf_8_ends_it_and_reaches_nobody(invalid: bytes) -> None:
    for pieces in ([text(invalid)], fragments(*(invalid[n : n + 1] for n in range(len(invalid))))):
        desk = Desk()
        assert codes(answers(*pieces, desk=desk)) == [Close.INVALID_TEXT]
        assert desk.heard == []


@pytest.mark.parametrize(
    "code",
    [
        1000,
        1001,
        1002,
        1003,
        1007,
        1008,
        1009,
        1010,
        1011,
        1012,
        1013,
        1014,
        3000,
        3999,
        4000,
        4999,
    ],
)
async def test_7_a_goodbye_is_answered_with_its_code(code: int) -> None:
    assert codes(answers(goodbye(code, b"bye"), text("late"), frame(PING))) == [code]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535])
async def test_7_a_code_that_nobody_may_send_is_an_error(code: int) -> None:
    assert codes(answers(goodbye(code))) == [PROTOCOL_ERROR]


async def test_7_a_goodbye_without_a_code_is_answered_with_none_or_1000() -> None:
    assert codes(answers(goodbye(), frame(PING))) in ([None], [1000])


async def test_7_a_goodbye_of_one_byte_or_of_too_many_is_an_error() -> None:
    assert codes(answers(frame(CLOSE, b"x"))) == [PROTOCOL_ERROR]
    assert codes(answers(goodbye(1000, b"*" * 124))) == [PROTOCOL_ERROR]
    assert codes(answers(goodbye(1000, b"*" * 123))) == [1000]


async def test_7_a_reason_that_is_not_utf_8_is_an_error() -> None:
    assert codes(answers(goodbye(1000, b"\xce\xba\xed\xa0\x80"))) in ([1007], [PROTOCOL_ERROR])


async def test_7_a_goodbye_inside_of_a_message_is_answered_and_the_message_dropped() -> None:
    desk = Desk()
    found = answers(frame(TEXT, b"frag", fin=False), goodbye(1000), frame(MORE, b"ment"), desk=desk)
    assert codes(found) == [1000]
    assert desk.heard == []


FRAMES = st.builds(
    frame,
    st.integers(0, 15) | st.sampled_from([TEXT, MORE, PING, CLOSE]),
    st.binary(max_size=130),
    fin=st.booleans() | st.just(True),
    rsv=st.sampled_from([0, 0, 0, 0, 0, 1, 4]),
)


@given(pieces=st.lists(FRAMES | st.binary(max_size=40), max_size=12), cut=st.integers(1, 60))
async def test_whatever_arrives_what_leaves_is_the_protocol(pieces: list[bytes], cut: int) -> None:
    stream = b"".join(pieces)
    desk = Desk()
    found = answers(*(stream[at : at + cut] for at in range(0, len(stream), cut)), desk=desk)
    assert len(codes(found)) <= 1
    assert all(frame.opcode in (TEXT, PONG, CLOSE) for frame in found)
    assert [frame.data for frame in found if frame.opcode == TEXT] == desk.heard
    assert all(len(heard) <= limits.MESSAGE_BYTES for heard in desk.heard)
