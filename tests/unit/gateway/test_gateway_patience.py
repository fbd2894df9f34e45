"""Connections on which no whole request comes, in virtual time."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from services.gateway.adapters.http import Http
from services.gateway.adapters.websocket import WebSocket
from services.gateway.domain import limits
from tests.support.sockets import HANDSHAKE, Desk, Pipe

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
KNOWN = b"GET /hot HTTP/1.1\r\nHost: here\r\n\r\n"


class Known:
    """Answers one request on the spot."""

    def read(
        self,
        request: bytes,
        *,
        method: str,
        path: str,
        query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        pass

    def answer(self, request: bytes, client: tuple[str, int] | None) -> tuple[bytes, bytes] | None:
        return (b"HTTP/1.1 200 OK\r\n", b"known") if request == KNOWN else None


async def reads_and_answers(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def connection() -> tuple[Http, Pipe]:
    config = Config(
        reads_and_answers,
        ws=partial(WebSocket, Desk()),  # type: ignore[arg-type]
        lifespan="off",
        log_config=None,
        timeout_keep_alive=600,
    )
    config.load()
    http = Http(
        Known(),
        config=config,
        server_state=ServerState(),
        app_state={},
    )
    pipe = Pipe()
    http.connection_made(pipe)
    return http, pipe


BEGUN = [b"GET / HTT", GET[:-2], b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nx"]


@pytest.mark.parametrize("begun", [b"", *BEGUN])
async def test_whoever_does_not_finish_a_first_request_is_cut_off(begun: bytes) -> None:
    http, pipe = connection()
    if begun:
        http.data_received(begun)
    await asyncio.sleep(limits.REQUEST_WITHIN_S - 1)
    assert not pipe.aborted
    await asyncio.sleep(2)
    assert pipe.aborted


@pytest.mark.parametrize("begun", BEGUN)
@pytest.mark.parametrize("before", [GET, KNOWN])
async def test_whoever_does_not_finish_another_is_cut_off(before: bytes, begun: bytes) -> None:
    http, pipe = connection()
    http.data_received(before)
    await asyncio.sleep(60)
    http.data_received(begun)
    await asyncio.sleep(limits.REQUEST_WITHIN_S + 1)
    assert pipe.aborted


async def test_bytes_that_drip_in_win_no_time() -> None:
    http, pipe = connection()
    for byte in GET * 3:
        http.data_received(bytes([byte]))
        await asyncio.sleep(1)
        if pipe.aborted:
            break
    assert pipe.aborted


@pytest.mark.parametrize("request_", [GET, KNOWN, HANDSHAKE])
async def test_whoever_finishes_one_stays(request_: bytes) -> None:
    http, pipe = connection()
    http.data_received(request_)
    await asyncio.sleep(60)
    assert pipe.written
    assert not pipe.aborted
