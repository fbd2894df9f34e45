"""Changes that are meant for one revision, so that nobody undoes what others did in between."""

import re
from typing import Final

from shared.contracts.errors import ChangedMeanwhile, Permanent

_TAG: Final = re.compile(r'"([0-9]{1,18})"')


class PreconditionRequired(Permanent):
    """A change does not say which revision it is meant for."""

    code = "precondition_required"


def etag(revision: int) -> str:
    return f'"{revision}"'


def expected_revision(if_match: str | None) -> int | None:
    """The revision that the header `If-Match` names; None for `*`, whichever is in force.

    Raises:
        PreconditionRequired: there is no such header.
        ChangedMeanwhile: it names no revision of ours.
    """
    if if_match is None:
        raise PreconditionRequired(
            "send the `ETag` of what you have read in the header `If-Match`, or `If-Match: *` to "
            "change whatever is in force"
        )
    if if_match.strip() == "*":
        return None
    tag = _TAG.fullmatch(if_match.strip())
    if tag is None:
        raise ChangedMeanwhile(f"{if_match[:40]!r} is not an `ETag` that was given here")
    return int(tag[1])
