"""What pages of other sites may read: nothing, unless their origin is listed (CORS).

That a page may ask at all is the door's to decide; here its browser is told so.
"""

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

_PREFLIGHT: Final = {
    "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE",
    "access-control-allow-headers": (
        "authorization, content-type, idempotency-key, if-match, if-none-match, x-request-id"
    ),
    "access-control-max-age": "600",
    "cache-control": "no-store",
}
_EXPOSED: Final = "etag, link, location, ratelimit, ratelimit-policy, retry-after, x-request-id"


PREFLIGHT_ANSWER: Final = Response(status_code=204, headers=_PREFLIGHT)


def is_preflight(method: str, asked: Headers, origins: frozenset[str]) -> bool:
    """Whether a browser asks, without a key, before a page of one of `origins` does."""
    asks_first = method == "OPTIONS" and "access-control-request-method" in asked
    return asks_first and asked.get("origin") in origins


def share(answer: MutableHeaders, origin: str | None, origins: frozenset[str]) -> None:
    """Let a page of `origin` read an answer, if it is one of `origins`."""
    if not origins:
        return
    answer.add_vary_header("origin")
    if origin is not None and origin in origins:
        answer["access-control-allow-origin"] = origin
        answer["access-control-expose-headers"] = _EXPOSED
