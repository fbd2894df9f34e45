"""How answers leave: JSON bytes, entity tags, problem details, pages of lists."""

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.domain.copies import Answer
from services.gateway.domain.problems import Problem
from shared.contracts import codec

#: Of the request that the current task answers.
REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id")


def json_response(
    message: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return ready_response(codec.encode(message), status=status, headers=headers)


def ready_response(
    body: bytes, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    all_headers = {"cache-control": "no-store", **(headers or {})}
    return Response(body, status, all_headers, media_type="application/json")


def known_tags(if_none_match: str) -> frozenset[str]:
    """The contents that the asker has already."""
    return frozenset(tag.strip().removeprefix("W/") for tag in if_none_match.split(","))


def tagged_response(known: frozenset[str], answer: Answer) -> Response:
    """304 without a body if the asker has this very content already."""
    headers = {"etag": answer.etag.decode(), "cache-control": "no-cache"}
    if headers["etag"] in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return ready_response(answer.body, headers=headers)


def problem_response(problem: Problem) -> Response:
    """With the id of the request, by which its lines are found in the log."""
    members = {**problem.members, "request_id": REQUEST_ID.get()}
    return Response(codec.encode(members), problem.status, problem.headers)


def page(request: Request, items: Sequence[object], *, limit: int, cursor: str | None) -> Response:
    """A list, newest first. A full page names the next one in `Link`."""
    headers = {}
    if len(items) == limit and cursor is not None:
        query = {**request.query_params, "limit": str(limit), "before": cursor}
        headers["link"] = f'<{request.url.path}?{urlencode(query)}>; rel="next"'
    return json_response(items, headers=headers)
