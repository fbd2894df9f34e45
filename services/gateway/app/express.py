"""What is asked most, answered without the framework: `GET /api/v1/predictions/{symbol}`.

Who may have the answer, and which one it is, follow from the bytes of the request and from our copy
alone. So a request with the very bytes of an earlier one needs no second reading, on whatever
connection it comes: a framework would spend five times what its answer costs on reading it again.
"""

import itertools
import time
from collections.abc import Sequence
from secrets import token_hex
from typing import Final, NamedTuple

from starlette.datastructures import Headers

from services.gateway.app.answers import known_tags, tagged_response
from services.gateway.app.context import Context, Given
from services.gateway.app.guard import Observe, caller, caller_address, dress, policy, standing
from services.gateway.domain.access import Door
from services.gateway.domain.copies import Held, expired
from services.gateway.domain.pace import Quotas, TooManyRequests
from shared.contracts.errors import AppError
from shared.contracts.symbols import Symbol

_FOLDER: Final = "/api/v1/predictions/"
_ROUTE: Final = "/api/v1/predictions/{symbol}"
_LONGEST: Final = 2048
_MOST: Final = 4096


class _Wanted(NamedTuple):
    """What a request asks for. `known`: the contents that the asker has already, by their tags;
    `key`: what it showed at the door.
    """

    symbol: Symbol
    known: frozenset[str]
    key: str | None


class _Ready(NamedTuple):
    """A response as bytes, all but the end of its head, for as long as `held` is what we hold."""

    held: Held
    status: int
    head: bytes
    body: bytes


class Express:
    """Knows the requests that it has read, and gives them what the framework would."""

    def __init__(self, context: Context, door: Door, quotas: Quotas, observe: Observe) -> None:
        self._context = context
        self._door = door
        self._quotas = quotas
        self._observe = observe
        self._policy = policy(quotas)
        self._life = token_hex(6)
        self._numbers = itertools.count(1)
        self._wanted: dict[bytes, _Wanted] = {}
        self._ready: dict[_Wanted, _Ready] = {}

    def read(
        self,
        request: bytes,
        *,
        method: str,
        path: str,
        query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Remember a whole request, if it is one for us and may be answered."""
        if method != "GET" or query or not path.startswith(_FOLDER) or len(request) > _LONGEST:
            return
        asked = Headers(raw=list(headers))
        if "x-request-id" in asked or "origin" in asked:
            return  # each of them is another request, or another answer
        try:
            self._door.check_names(asked.get("host", ""), asked.get("origin"))
            self._door.admit(method, path, asked.get("authorization"))
            symbol = Symbol.from_path(path.removeprefix(_FOLDER))
            self._context.copies.check_symbol(symbol)
        except AppError:
            return
        while len(self._wanted) >= _MOST:
            forgotten = self._wanted.pop(next(iter(self._wanted)))
            self._ready.pop(forgotten, None)
        known = known_tags(asked.get("if-none-match", ""))
        self._wanted[request] = _Wanted(symbol, known, asked.get("authorization"))

    def answer(self, request: bytes, client: tuple[str, int] | None) -> tuple[bytes, bytes] | None:
        """The head of the response, to which more headers and an empty line are to be added, and
        its body; None where the framework is to answer.
        """
        wanted = self._wanted.get(request)
        if wanted is None:
            return None
        started = time.perf_counter()
        held = self._fresh(wanted.symbol)
        if held is None:
            return None
        asker = caller(self._door, wanted.key, caller_address(client))
        try:
            quota = self._quotas.take(asker)
        except TooManyRequests:
            return None
        self._context.given[Given("copy", held.prediction.stale)] += 1
        ready = self._ready.get(wanted)
        if ready is None or ready.held is not held:
            ready = self._ready[wanted] = _made(held, wanted, self._policy, self._door.origins)
        own = (
            f"x-request-id: {self._life}-{next(self._numbers)}\r\nratelimit: {standing(quota)}\r\n"
        )
        self._observe("GET", _ROUTE, ready.status, time.perf_counter() - started)
        return ready.head + own.encode(), ready.body

    def _fresh(self, symbol: Symbol) -> Held | None:
        context = self._context
        held = context.copies.predictions.get(symbol)
        if held is None or held.outdated or not context.colleagues.reachable:
            return None
        if expired(held.prediction, context.clock()) or not context.copies.knows(symbol):
            return None
        return held


def _made(held: Held, wanted: _Wanted, policy: str, origins: frozenset[str]) -> _Ready:
    response = tagged_response(wanted.known, held.answer)
    dress(response.headers, None, origins)
    response.headers["ratelimit-policy"] = policy
    lines = [b"HTTP/1.1 200 OK" if response.status_code == 200 else b"HTTP/1.1 304 Not Modified"]
    lines += [name + b": " + value for name, value in response.raw_headers]
    return _Ready(held, response.status_code, b"\r\n".join([*lines, b""]), bytes(response.body))
