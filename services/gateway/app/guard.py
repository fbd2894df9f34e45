"""Around everything that HTTP asks: who may, how much, how long it took, and what browsers may do
with the answer.
"""

import time
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.app.answers import problem_response
from services.gateway.domain.access import Door
from services.gateway.domain.problems import problem_of
from shared.contracts.errors import AppError, Permanent

#: What all routes but the probes and pages have in front of them.
API: Final = "/api/v1"
BODY_BYTES: Final = 64 << 10
#: On every answer that does not say otherwise.
HEADERS: Final = {
    # Plotly puts its styles into the page; scripts and connections are ours alone.
    "content-security-policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

#: Told of each request: method, route, status, seconds.
Observe = Callable[[str, str, int, float], None]


class BodyTooLarge(Permanent):
    code = "body_too_large"

    def __init__(self) -> None:
        super().__init__(f"a request may have {BODY_BYTES >> 10} KiB; send less at once")


class Guard:
    """The outermost application. What it refuses never reaches a route."""

    def __init__(self, app: ASGIApp, door: Door, observe: Observe) -> None:
        self._app = app
        self._door = door
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        method: str = scope["method"]
        status = 500

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._admit(scope)
        except AppError as exc:
            await problem_response(problem_of(exc))(scope, receive, send_guarded)
        else:
            # Routes answer GET; the server leaves the body out by itself.
            inner = {**scope, "method": "GET"} if method == "HEAD" else scope
            await self._app(inner, _limited(receive), send_guarded)
            scope.setdefault("route", inner.get("route"))
        finally:
            route = _route(scope)
            self._observe(method, route, status, time.perf_counter() - started)

    def _admit(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self._door.check_names(headers.get("host", ""), headers.get("origin"))
        self._door.admit(scope["method"], scope["path"], headers.get("authorization"))
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY_BYTES:
            raise BodyTooLarge


def _route(scope: Scope) -> str:
    """The route as it is declared; the framework leaves out what a group of routes shares."""
    declared = getattr(scope.get("route"), "path", None)
    if declared is None:
        return "other"
    shared = API if scope["path"].startswith(API) and not declared.startswith(API) else ""
    return f"{shared}{declared}"


def _limited(receive: Receive) -> Receive:
    """For bodies whose length nobody announced."""
    left = BODY_BYTES

    async def receive_some() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise BodyTooLarge
        return message

    return receive_some
