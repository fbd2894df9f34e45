"""Our end of the protocol against the client side of the reference implementation."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from services.gateway.domain import limits
from services.gateway.domain.access import NotAllowed, NotAuthenticated, Role
from services.gateway.domain.wire import Close, framed
from shared.contracts.errors import AppError
from tests.support.sockets import Desk, Pipe, server_for


class Peer:
    """A browser at the other end."""

    def __init__(self, desk: Desk, path: str = "/ws", **headers: str) -> None:
        self.desk = desk
        self.pipe = Pipe()
        self.state = ServerState()
        self.server = server_for(desk, self.pipe, self.state)
        self.core = ClientProtocol(parse_uri(f"ws://127.0.0.1:8000{path}"), max_size=1 << 24)
        request = self.core.connect()
        for name, value in headers.items():
            request.headers[name] = value
        self.core.send_request(request)
        self.events: list[Any] = []
        self.exchange()

    def exchange(self) -> None:
        """Carry everything across, both ways."""
        for data in self.core.data_to_send():
            if data:
                self.server.data_received(data)
            else:
                self.server.eof_received()
                self.server.connection_lost(None)
        written, self.pipe.written = self.pipe.written, []
        for data in written:
            self.core.receive_data(data)
        if self.pipe.ended or self.pipe.aborted:
            self.core.receive_eof()
        self.events += self.core.events_received()

    def raw(self, parts: Iterable[bytes]) -> None:
        for part in parts:
            self.server.data_received(part)
        self.exchange()

    @property
    def response(self) -> Response:
        assert isinstance(self.events[0], Response)
        return self.events[0]

    @property
    def texts(self) -> list[bytes]:
        return [bytes(e.data) for e in self.events[1:] if e.opcode is Opcode.TEXT]

    @property
    def close_code(self) -> int | None:
        return self.core.close_rcvd.code if self.core.close_rcvd else None


async def test_a_socket_opens_and_carries_text_both_ways() -> None:
    peer = Peer(Desk())
    assert peer.response.status_code == 101
    peer.core.send_text("héllo".encode())
    peer.exchange()
    assert peer.texts == ["héllo".encode()]
    assert len(peer.state.connections) == 1


async def test_the_desk_sees_host_origin_and_key() -> None:
    peer = Peer(Desk(), Origin="http://x", Authorization="Bearer k")
    assert peer.desk.asked == {
        "host": "127.0.0.1:8000",
        "origin": "http://x",
        "authorization": "Bearer k",
    }


@pytest.mark.parametrize(
    ("refusal", "status"), [(NotAllowed("no"), 403), (NotAuthenticated("no"), 401)]
)
async def test_a_refused_socket_is_told_why_before_it_opens(refusal: AppError, status: int) -> None:
    peer = Peer(Desk(refuse=refusal))
    assert peer.response.status_code == status
    assert peer.response.headers["Content-Type"] == "application/problem+json"
    assert json.loads(peer.response.body or b"")["code"] == refusal.code
    assert peer.desk.sessions == []


@pytest.mark.parametrize("path", ["/", "/wss", "/ws/", "/api/v1/models"])
async def test_there_is_one_address_for_sockets(path: str) -> None:
    assert Peer(Desk(), path=path).response.status_code == 404


async def test_a_message_in_fragments_is_heard_whole() -> None:
    peer = Peer(Desk())
    peer.core.send_text("hé".encode()[:2], fin=False)
    peer.core.send_ping(b"x")
    peer.core.send_continuation("hé".encode()[2:], fin=True)
    peer.exchange()
    assert peer.desk.heard == ["hé".encode()]
    assert any(isinstance(e, Frame) and e.opcode is Opcode.PONG for e in peer.events)


async def test_a_message_is_heard_whole_however_it_is_cut_on_the_way() -> None:
    peer = Peer(Desk())
    peer.core.send_text(b"abcdef")
    (data,) = peer.core.data_to_send()
    peer.raw(bytes([byte]) for byte in data)
    assert peer.desk.heard == [b"abcdef"]


async def test_text_that_is_not_utf8_ends_the_socket() -> None:
    peer = Peer(Desk())
    peer.core.send_text(b"\xff\xfe")
    peer.exchange()
    assert peer.close_code == Close.INVALID_TEXT
    assert peer.desk.heard == []


async def test_binary_ends_the_socket() -> None:
    peer = Peer(Desk())
    peer.core.send_binary(b"x")
    peer.exchange()
    assert peer.close_code == Close.BAD_MESSAGE


@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_message_beyond_the_limit_ends_the_socket_and_one_at_it_does_not(
    pieces: int,
) -> None:
    for size, code in ((limits.MESSAGE_BYTES, None), (limits.MESSAGE_BYTES + 1, Close.TOO_LARGE)):
        peer = Peer(Desk())
        step = -(-size // pieces)
        parts = [b"x" * min(step, size - at) for at in range(0, size, step)]
        peer.core.send_text(parts[0], fin=pieces == 1)
        for number, part in enumerate(parts[1:], 2):
            peer.core.send_continuation(part, fin=number == pieces)
        peer.exchange()
        assert peer.close_code == code


async def test_when_the_client_says_goodbye_the_session_is_over() -> None:
    peer = Peer(Desk())
    peer.core.send_close(1000)
    peer.exchange()
    assert peer.close_code == 1000
    assert peer.desk.gone == peer.desk.sessions
    assert peer.pipe.ended


async def test_nothing_is_written_to_a_session_that_is_over() -> None:
    peer = Peer(Desk())
    (session,) = peer.desk.sessions
    peer.core.send_close(1000)
    peer.exchange()
    session.reply(framed(b"late"))
    assert peer.pipe.written == []


async def test_a_connection_that_breaks_ends_the_session_once() -> None:
    peer = Peer(Desk())
    peer.server.connection_lost(ConnectionResetError())
    assert peer.desk.gone == peer.desk.sessions
    assert peer.state.connections == set()


async def test_before_the_process_ends_everyone_is_told_to_come_back() -> None:
    peer = Peer(Desk())
    peer.server.shutdown()
    peer.exchange()
    assert peer.close_code == Close.RESTARTING
    peer.exchange()
    assert peer.pipe.ended


async def test_a_client_that_does_not_answer_our_goodbye_is_cut_off() -> None:
    peer = Peer(Desk())
    peer.server.shutdown()
    await asyncio.sleep(60)
    assert peer.pipe.aborted


async def test_whoever_shows_no_key_in_time_is_sent_away() -> None:
    peer = Peer(Desk(role=None))
    await asyncio.sleep(limits.AUTHENTICATE_WITHIN_S - 1)
    peer.exchange()
    assert peer.close_code is None
    await asyncio.sleep(2)
    peer.exchange()
    assert peer.close_code == Close.NOT_AUTHENTICATED


async def test_whoever_shows_a_key_in_time_stays() -> None:
    peer = Peer(Desk(role=None))
    peer.desk.sessions[0].role = Role.READ
    await asyncio.sleep(60)
    peer.exchange()
    assert peer.close_code is None


async def test_a_full_line_makes_the_session_wait_and_a_drained_one_goes_on() -> None:
    peer = Peer(Desk())
    (session,) = peer.desk.sessions
    peer.server.pause_writing()
    session.reply(framed(b"1"))
    assert peer.pipe.written == []
    peer.server.resume_writing()
    peer.exchange()
    assert peer.texts == [b"1"]


async def test_a_broken_frame_ends_the_socket_with_a_protocol_error() -> None:
    peer = Peer(Desk())
    peer.raw([b"\xff\xff\xff\xff"])
    assert peer.close_code == 1002
    assert peer.desk.gone == peer.desk.sessions


async def test_a_request_that_is_no_handshake_is_refused() -> None:
    peer = Peer(Desk())
    pipe = Pipe()
    other = server_for(peer.desk, pipe, peer.state)
    other.data_received(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    assert pipe.written[0].startswith(b"HTTP/1.1 400")
    assert pipe.ended
