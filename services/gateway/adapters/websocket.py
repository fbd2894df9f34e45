"""The websocket protocol, given to uvicorn by its option `ws`.

Why not through the framework: there every message to every client is encoded, framed and awaited
by a task of its own, at three times the time and five times the memory. Here the handshake and what
arrives go through the protocol core of `websockets`; what leaves is written to the transport.
"""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from services.gateway.domain import limits
from services.gateway.domain.accounts import Guest
from services.gateway.domain.problems import Problem, problem_of
from services.gateway.domain.wire import Close
from services.gateway.sessions import Line, Session
from shared.contracts.errors import AppError

PATH: Final = "/ws"
#: How much may wait in this process for a client, besides what the kernel holds for it.
_BUFFER: Final = 32 << 10
#: How long a client may take to answer our goodbye.
_LINGER_S: Final = 5.0
#: The core says goodbye at level INFO for every connection.
_LOG: Final = logging.getLogger("websockets.server")
_LOG.setLevel(logging.WARNING)


class Reception(Protocol):
    """Who talks to the clients. None of these waits."""

    def admit(self, *, host: str, origin: str | None, authorization: str | None) -> Guest:
        """Raises AppError to refuse the socket."""

    def opened(self, line: Line, guest: Guest, now: float) -> Session: ...

    def on_text(self, session: Session, text: bytes, now: float) -> None: ...

    def closed(self, session: Session) -> None: ...

    def ending(self, session: Session) -> None:
        """Called when the process is about to end."""


class _Core(ServerProtocol):
    """The protocol core, with our close code for a message that is too large, and without its
    complaint about a goodbye in the middle of a message (RFC 6455, 5.5: control frames may be).
    """

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)

    def fail(self, code: CloseCode | int, reason: str = "") -> None:
        if code == CloseCode.MESSAGE_TOO_BIG:
            code, reason = Close.TOO_LARGE, f"at most {limits.MESSAGE_BYTES} bytes a message"
        super().fail(code, reason)


class WebSocket(asyncio.Protocol):
    """One connection, from its handshake to its end. It is the `Line` of its session."""

    write: Callable[[bytes], None]

    def __init__(
        self,
        reception: Reception,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
    ) -> None:
        self._reception = reception
        self._server = server_state
        self._core = _Core(extensions=None, max_size=limits.MESSAGE_BYTES, logger=_LOG)
        self._session: Session | None = None
        self._fragments: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_BUFFER)
        self.write = self._transport.write
        self._server.connections.add(cast(Any, self))

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(cast(Any, self))
        self._stop_timer()
        self._forget()

    def data_received(self, data: bytes) -> None:
        if self._session is not None:
            self._session.heard = True
        self._core.receive_data(data)
        for event in self._core.events_received():
            if isinstance(event, Request):
                self._shake_hands(event)
            elif isinstance(event, Frame):
                self._on_frame(self._session, event)
        self._flush()

    def eof_received(self) -> None:
        self._core.receive_eof()
        self._flush()

    def pause_writing(self) -> None:
        if self._session is not None:
            self._session.paused()

    def resume_writing(self) -> None:
        if self._session is not None:
            self._session.resumed()

    def shutdown(self) -> None:
        """Called by uvicorn when the process is about to end."""
        if self._session is None:
            self._transport.close()
        else:
            self._reception.ending(self._session)

    def close(self, code: int, reason: str) -> None:
        if self._core.state is State.OPEN:
            self._core.send_close(code, reason)
            self._flush()

    def abort(self) -> None:
        self._transport.abort()

    def _shake_hands(self, request: Request) -> None:
        response = self._core.accept(request)
        guest: Guest | None = None
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            try:
                guest = self._admit(request)
            except AppError as exc:
                response = _refusal(problem_of(exc))
        self._core.send_response(response)
        self._flush()
        if guest is not None and response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._session = self._reception.opened(self, guest, self._loop.time())
            if guest.role is None:
                self._start_timer(limits.AUTHENTICATE_WITHIN_S, self._not_authenticated)

    def _admit(self, request: Request) -> Guest:
        headers = request.headers
        if urlsplit(request.path).path != PATH:
            raise _NoSuchSocket(f"the websocket is at {PATH}")
        return self._reception.admit(
            host=_only(headers, "Host") or "",
            origin=_only(headers, "Origin"),
            authorization=_only(headers, "Authorization"),
        )

    def _on_frame(self, session: Session | None, frame: Frame) -> None:
        if session is None or not session.open:
            return
        if frame.opcode is Opcode.BINARY:
            session.close(Close.BAD_MESSAGE, "send text, not binary")
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                text = b"".join(self._fragments)
                self._fragments.clear()
                self._on_text(session, text)

    def _on_text(self, session: Session, text: bytes) -> None:
        try:
            text.decode()
        except UnicodeDecodeError:
            self._core.fail(Close.INVALID_TEXT, "text must be UTF-8")
            return
        self._reception.on_text(session, text, self._loop.time())

    def _flush(self) -> None:
        """Send what the core has to say. Once it has said goodbye, the end is near."""
        for data in self._core.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof() and not self._transport.is_closing():
                self._transport.write_eof()
        if self._core.state in (State.CLOSING, State.CLOSED) or self._core.eof_sent:
            self._forget()
            self._start_timer(_LINGER_S, self._transport.abort)

    def _forget(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.open = False
            self._reception.closed(session)

    def _not_authenticated(self) -> None:
        if self._session is not None and self._session.role is None:
            self._session.close(Close.NOT_AUTHENTICATED, "no key was shown in time")

    def _start_timer(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _NoSuchSocket(AppError):
    code = "unknown_route"


def _only(headers: Headers, name: str) -> str | None:
    """The value of a header; one that is there twice counts as both at once, which fits nothing."""
    values = headers.get_all(name)
    return ", ".join(values) if values else None


def _refusal(why: Problem) -> Response:
    headers = Headers(why.headers)
    headers["Connection"] = "close"
    headers["Content-Length"] = str(len(why.body))
    return Response(why.status, HTTPStatus(why.status).phrase, headers, why.body)
