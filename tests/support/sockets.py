"""Our end of a websocket, and the desk behind it, without a network."""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from services.gateway.adapters.websocket import WebSocket
from services.gateway.domain.access import Role
from services.gateway.domain.accounts import Guest
from services.gateway.domain.pace import Pace
from services.gateway.domain.wire import Close, framed
from services.gateway.sessions import Line, Session
from shared.contracts.errors import AppError

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Pipe(asyncio.Transport):
    """A transport whose other end is a list of bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.ended = self.aborted = False

    def write(self, data: Any) -> None:
        assert not self.ended, "written behind the end"
        self.written.append(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.aborted

    def close(self) -> None:
        self.aborted = True

    abort = close

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


class Desk:
    """Admits everybody, unless told otherwise, and repeats what they say."""

    def __init__(self, refuse: AppError | None = None, role: Role | None = Role.READ) -> None:
        self.refuse = refuse
        self.role = role
        self.sessions: list[Session] = []
        self.gone: list[Session] = []
        self.heard: list[bytes] = []
        self.asked: dict[str, str | None] = {}

    def admit(self, *, host: str, origin: str | None, authorization: str | None) -> Guest:
        self.asked = {"host": host, "origin": origin, "authorization": authorization}
        if self.refuse is not None:
            raise self.refuse
        return Guest(self.role, "a")

    def opened(self, line: Line, guest: Guest, now: float) -> Session:
        pace = Pace(per_second=1, burst=1, now=now)
        session = Session("s", line, role=guest.role, account=guest.account, pace=pace, capacity=10)
        self.sessions.append(session)
        return session

    def on_text(self, session: Session, text: bytes, now: float) -> None:
        self.heard.append(text)
        session.reply(framed(text))

    def closed(self, session: Session) -> None:
        self.gone.append(session)

    def ending(self, session: Session) -> None:
        session.close(Close.RESTARTING, "restarting")


def server_for(desk: Desk, pipe: Pipe, state: ServerState | None = None) -> WebSocket:
    """Our end of a connection on which nothing has arrived yet."""
    server = WebSocket(
        desk,
        config=Config(app=lambda: None),
        server_state=state or ServerState(),
        app_state={},
    )
    server.connection_made(pipe)
    return server


def connected(desk: Desk) -> tuple[WebSocket, Pipe]:
    """After the handshake; what it wrote is not in the pipe any more."""
    pipe = Pipe()
    server = server_for(desk, pipe)
    server.data_received(HANDSHAKE)
    assert pipe.written[0].startswith(b"HTTP/1.1 101 ")
    pipe.written.clear()
    return server, pipe
