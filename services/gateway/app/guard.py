"""Around everything that HTTP asks: who may, how much, how long it took, and what browsers may do
with the answer.
"""

import re
import time
from collections.abc import Callable
from secrets import token_hex
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.app.answers import REQUEST_ID, problem_response
from services.gateway.app.sharing import PREFLIGHT_ANSWER, is_preflight, share
from services.gateway.domain.access import Door, NotAuthenticated, needed
from services.gateway.domain.pace import Quota, Quotas
from services.gateway.domain.problems import problem_of
from shared.contracts.errors import AppError, Permanent
from shared.runtime import logs

#: What all routes but the probes and pages have in front of them.
API: Final = "/api/v1"
BODY_BYTES: Final = 64 << 10
#: On every answer that does not say otherwise.
_HEADERS: Final = {
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

#: What a caller may name a request. Anything else is no name, and is replaced.
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

#: Told of each request: method, route, status, seconds.
Observe = Callable[[str, str, int, float], None]


class BodyTooLarge(Permanent):
    code = "body_too_large"

    def __init__(self) -> None:
        super().__init__(f"a request may have {BODY_BYTES >> 10} KiB; send less at once")


class Guard:
    """The outermost application. What it refuses never reaches a route."""

    def __init__(self, app: ASGIApp, door: Door, quotas: Quotas, observe: Observe) -> None:
        self._app = app
        self._door = door
        self._quotas = quotas
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        method: str = scope["method"]
        asked, origins = Headers(scope=scope), self._door.origins
        preflight = is_preflight(method, asked, origins)
        request_id = _named(asked.get("x-request-id", ""))
        REQUEST_ID.set(request_id)
        logs.mark(request_id=request_id)
        quota: Quota | None = None
        status = 500

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                dress(headers, asked.get("origin"), origins)
                headers["x-request-id"] = request_id
                if quota is not None:
                    headers["ratelimit-policy"] = policy(self._quotas)
                    headers["ratelimit"] = standing(quota)
            await send(message)

        try:
            quota = self._admit(scope, asked, preflight=preflight)
        except AppError as exc:
            await problem_response(problem_of(exc))(scope, receive, send_guarded)
        else:
            app = PREFLIGHT_ANSWER if preflight else self._app
            # Routes answer GET; the server leaves the body out by itself.
            inner = {**scope, "method": "GET"} if method == "HEAD" else scope
            await app(inner, _limited(receive), send_guarded)
            scope.setdefault("route", inner.get("route"))
        finally:
            route = _route(scope)
            self._observe(method, route, status, time.perf_counter() - started)

    def _admit(self, scope: Scope, headers: Headers, *, preflight: bool) -> Quota:
        """Whoever had to show a key is counted by it, everybody else by address."""
        address = caller_address(scope.get("client"))
        self._door.check_names(headers.get("host", ""), headers.get("origin"))
        method, path, key = scope["method"], scope["path"], headers.get("authorization")
        if preflight:
            return self._quotas.take(address)
        try:
            self._door.admit(method, path, key)
        except NotAuthenticated:
            self._quotas.take(address)
            raise
        shown = key if needed(method, path) is not None else None
        quota = self._quotas.take(caller(self._door, shown, address))
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY_BYTES:
            raise BodyTooLarge
        return quota


def dress(headers: MutableHeaders, origin: str | None, origins: frozenset[str]) -> None:
    """What every answer bears, to a page of `origin` or to a program."""
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    share(headers, origin, origins)


def caller(door: Door, key: str | None, address: str) -> str:
    """By what a request is counted that the door has admitted."""
    return key if key is not None and door.keys is not None else address


def caller_address(client: tuple[str, int] | None) -> str:
    return client[0] if client else ""


def policy(quotas: Quotas) -> str:
    """The header `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10)."""
    return f'"requests";q={quotas.burst:.0f};w=2'


def standing(quota: Quota) -> str:
    """The header `RateLimit` (the same draft)."""
    return f'"requests";r={quota.left};t={quota.full_in_s}'


def _route(scope: Scope) -> str:
    """The route as it is described; the framework leaves out what a group of routes shares."""
    declared = getattr(scope.get("route"), "path_format", None)
    if declared is None:
        return "other"
    shared = API if scope["path"].startswith(API) and not declared.startswith(API) else ""
    return f"{shared}{declared}"


def _named(request_id: str) -> str:
    return request_id if _REQUEST_ID.fullmatch(request_id) else token_hex(8)


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
