"""What a caller is told when something did not work: problem details (RFC 9457)."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from services.gateway.domain.pace import TooManyRequests
from shared.contracts import codec
from shared.contracts.errors import AppError, MalformedMessage, TrainingLocked, Transient
from shared.contracts.records import LockHolder


class Kind(NamedTuple):
    """`retry_after_s`: when asking again may help; None if it will not."""

    status: int
    title: str
    retry_after_s: int | None = None


KINDS: Final[Mapping[str, Kind]] = {
    "malformed_message": Kind(400, "The request cannot be read"),
    "not_authenticated": Kind(401, "A key is needed"),
    "not_allowed": Kind(403, "Not allowed"),
    "unknown_route": Kind(404, "There is nothing at this address"),
    "unknown_symbol": Kind(404, "Unknown symbol"),
    "unknown_horizon": Kind(404, "Unknown horizon"),
    "not_found": Kind(404, "Not found"),
    "unknown_version": Kind(404, "Unknown version"),
    "method_not_allowed": Kind(405, "This address does not take this method"),
    "conflict": Kind(409, "Somebody else was faster", 1),
    "training_locked": Kind(409, "Another run is training"),
    "lease_taken": Kind(409, "Somebody is at work on this symbol", 15),
    "no_earlier_model": Kind(409, "There is no earlier model"),
    "artifact_refused": Kind(409, "The file of this model cannot be used"),
    "precondition_failed": Kind(412, "It was changed in between"),
    "body_too_large": Kind(413, "The request is too large"),
    "unsupported_media_type": Kind(415, "The body is not JSON"),
    "invalid_request": Kind(422, "The request asks for something that cannot be"),
    "invalid_symbol": Kind(422, "Not a symbol"),
    "invalid_setting": Kind(422, "A setting that is not allowed"),
    "precondition_required": Kind(428, "Say which revision is to be changed"),
    "too_many_requests": Kind(429, "Too many requests"),
    "too_many_sockets": Kind(429, "Too many websockets", 5),
    "internal_error": Kind(500, "A fault of this server"),
    "no_model": Kind(503, "There is no model yet", 15),
    "unavailable": Kind(503, "A service does not answer", 2),
}


class Refused(TrainingLocked):
    """Another run holds the lock: `holder`."""

    def __init__(self, holder: LockHolder) -> None:
        super().__init__(
            f"run {holder.run_id} ({holder.mode}, from {holder.source}) trains since "
            f"{holder.started_at:%Y-%m-%d %H:%M:%S} UTC on {holder.holder}; "
            f"wait for it, or send force: true to queue behind it"
        )
        self.holder = holder


class Problem(NamedTuple):
    status: int
    members: dict[str, object]
    headers: dict[str, str]

    @property
    def body(self) -> bytes:
        return codec.encode(self.members)


def problem(code: str, detail: str, **more: object) -> Problem:
    """`code` is stable; `detail` says what to do about this case."""
    kind = KINDS[code]
    members = {
        "type": f"/docs#{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": code,
        **more,
    }
    headers = {"content-type": "application/problem+json", "cache-control": "no-store"}
    if kind.retry_after_s is not None:
        headers["retry-after"] = str(kind.retry_after_s)
    if kind.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Problem(kind.status, members, headers)


def problem_of(error: AppError) -> Problem:
    """An error that was raised on purpose, here or in the service that was asked."""
    if isinstance(error, Refused):
        return problem(error.code, str(error), holder=error.holder)
    if isinstance(error, MalformedMessage) and isinstance(error.__cause__, msgspec.ValidationError):
        return problem("invalid_request", str(error))
    if isinstance(error, TooManyRequests):
        refused = problem(error.code, str(error))
        refused.headers["retry-after"] = str(error.retry_after_s)
        return refused
    if error.code in KINDS:
        return problem(error.code, str(error))
    return problem("unavailable" if isinstance(error, Transient) else "invalid_request", str(error))
