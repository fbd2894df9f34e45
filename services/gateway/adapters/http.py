"""HTTP/1.1 as uvicorn speaks it, with a short cut for requests that are known by their bytes."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.gateway.domain import limits
from services.gateway.domain.problems import problem


class Express(Protocol):
    """Answers to requests that are asked again and again."""

    def read(
        self,
        request: bytes,
        *,
        method: str,
        path: str,
        query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Look at a whole request, so as to know its bytes when they come again."""

    def answer(self, request: bytes, client: tuple[str, int] | None) -> tuple[bytes, bytes] | None:
        """The head of the response but for its end, and its body; None for what is not known."""


class Http(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, but a request whose bytes are known is answered on the spot.

    That needs no task and no parsing. Everything else goes its usual way, and so does what comes
    while an answer is under way, or to a client that is slow to take what it was given.
    """

    def __init__(self, express: Express, **given: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(**given)
        self._express = express
        self._begun = self._ended = 0
        self._answered_at = 0.0
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_whole_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._between_requests:
            super().data_received(data)
            return
        ready = self._express.answer(data, self.client)
        if ready is None:
            begun = self._begun
            super().data_received(data)
            if self._begun == begun + 1 and self._whole:
                self._read(data)
            return
        self._stop_waiting()
        head, body = ready
        own = b"".join(b"%b: %b\r\n" % pair for pair in self.server_state.default_headers)
        self.transport.write(b"".join((head, own, b"\r\n", body)))
        self._answered_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_handler()

    def on_message_begin(self) -> None:
        self._begun += 1
        self._expect_whole_request()
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._ended += 1
        self._stop_waiting()
        super().on_message_complete()

    def timeout_keep_alive_handler(self) -> None:
        """A connection that was answered on the spot has been busy without uvicorn's knowledge."""
        left = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(
                left, self.timeout_keep_alive_handler
            )
        else:
            super().timeout_keep_alive_handler()

    def _expect_whole_request(self) -> None:
        """Whoever takes too long over it, or never begins, holds a connection for nothing."""
        self._stop_waiting()
        self._patience = self.loop.call_later(limits.REQUEST_WITHIN_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    @property
    def _whole(self) -> bool:
        """Whether the last request that began has been read to its end."""
        return self._begun == self._ended

    @property
    def _between_requests(self) -> bool:
        first = self.cycle is None  # uvicorn's own types do not say that it can be
        return (
            (first or self.cycle.response_complete) and self._whole and not self.flow.write_paused
        )

    def _read(self, data: bytes) -> None:
        """Only what has no body and keeps the connection, or the short cut would have to differ."""
        names = {name for name, _ in self.headers}
        bodied = names & {b"content-length", b"transfer-encoding", b"expect", b"upgrade"}
        if not bodied and self.cycle.keep_alive and self.scope["http_version"] == "1.1":
            self._express.read(
                data,
                method=self.scope["method"],
                path=self.scope["path"],
                query=self.scope["query_string"],
                headers=self.headers,
            )

    def handle_websocket_upgrade(self) -> None:
        self._stop_waiting()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP gets the same shape of answer as everything else that is refused."""
        refused = problem("malformed_message", "this is not HTTP/1.1; nothing of it was read")
        head = [f"HTTP/1.1 {refused.status} Bad Request", "connection: close"]
        head += [f"{name}: {value}" for name, value in refused.headers.items()]
        head.append(f"content-length: {len(refused.body)}")
        self.transport.write("\r\n".join([*head, "", ""]).encode() + refused.body)
        self.transport.close()
