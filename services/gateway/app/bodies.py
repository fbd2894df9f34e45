"""What requests bring: JSON, read into messages, and what it is meant for."""

from typing import Annotated, TypeVar

from fastapi import Header, Request

from shared.contracts import codec
from shared.contracts.errors import MalformedMessage, Permanent

T = TypeVar("T")

#: What is asked with the same key is done once.
IdempotencyKey = Annotated[str | None, Header(max_length=200)]
#: The revision that a change is meant for.
IfMatch = Annotated[str | None, Header(max_length=100)]

_JSON = "application/json"


class NotJson(Permanent):
    """The body is said to be something else, or nothing is said."""

    code = "unsupported_media_type"


async def read(request: Request, kind: type[T]) -> T:
    """The body as a message; without a body every default holds.

    A question in the address is refused: passed over, what it asks for would not be done.

    Raises:
        NotJson: there is a body, of another media type.
        MalformedMessage: it cannot be read, or a field has the wrong shape; it says which.
        InvalidSymbol: a symbol outside the grammar.
    """
    if request.url.query:
        raise MalformedMessage("say what you want in the body, as /docs shows, not in the address")
    body = await request.body()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and media_type != _JSON:
        raise NotJson(
            f"a body is read as JSON only: send the header `Content-Type: {_JSON}`, "
            f"not {media_type[:80]!r}"
        )
    return codec.decode(body, kind)
