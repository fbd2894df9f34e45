"""uvicorn inside our own event loop, on a socket that we opened ourselves."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, cast

import uvicorn
from starlette.types import ASGIApp

from services.gateway.adapters.http import Express, Http
from shared.contracts.errors import InvalidSetting

#: What the kernel may hold for one client. By default it would hide megabytes from us.
_SEND_BUFFER: Final = 32 << 10
_BACKLOG: Final = 4096
_FINISH_WITHIN_S: Final = 3


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Take the address, so that it is certain before anything else begins. Where it is `shared`,
    others that share it listen there too, and the kernel gives each connection to one of them.

    Raises:
        InvalidSetting: somebody has it already, or this machine has no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # sockets inherit it
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise InvalidSetting(_why_not(host, port, exc)) from exc
    listener.setblocking(False)
    return listener


async def serve(
    app: ASGIApp,
    websocket: Callable[..., asyncio.Protocol],
    express: Express,
    listener: socket.socket,
    stop: asyncio.Event,
) -> None:
    """Serve until `stop` is set; then say goodbye, and wait a few seconds for what is in hand."""
    server = _Server(
        uvicorn.Config(
            app,
            http=cast(type[asyncio.Protocol], partial(Http, express)),
            ws=cast(type[asyncio.Protocol], websocket),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_FINISH_WITHIN_S,
        )
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listener]))
        await stop.wait()
        server.should_exit = True


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to whoever supervises this process."""
        yield


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"GATEWAY_PORT={port} is in use by another program: stop it, or set another port "
            f"(evertrain up --port {port + 1})"
        )
    return f"GATEWAY_HOST={host!r}, GATEWAY_PORT={port}: {error.strerror}"
