"""Single messages of a stream, read from its leader.

Why not nats-py's own `get_last_msg`: it takes each answer apart with the JSON and the e-mail parser
of the standard library, which is half of what a read costs.
"""

import asyncio
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
import nats.errors
import orjson

from shared.bus.connection import Connection
from shared.contracts.errors import Unavailable

#: As opposed to a stream that is not there.
_NO_MESSAGE: Final = 10037
_TIMEOUT_S: Final = 5.0


class Message(NamedTuple):
    sequence: int
    data: bytes
    headers: dict[str, str]
    stored_at: datetime
    subject: str


async def newest(connection: Connection, stream: str, subject: str) -> Message | None:
    """The last message whose subject matches, None if there is none.

    Raises:
        Unavailable: NATS does not answer in time, or there is no such stream.
    """
    return await _read(connection, stream, {"last_by_subj": subject})


async def following(
    connection: Connection, stream: str, subject: str, sequence: int
) -> Message | None:
    """The first message behind `sequence` whose subject matches, None if there is none.

    Raises:
        Unavailable: NATS does not answer in time, or there is no such stream.
    """
    return await _read(connection, stream, {"next_by_subj": subject, "seq": sequence + 1})


class _Found(msgspec.Struct):
    """Its bytes are in base 64, and left out where there are none."""

    seq: int
    time: datetime
    subject: str
    data: bytes = b""
    hdrs: bytes = b""


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    message: _Found | None = None
    error: _Error | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)


async def _read(connection: Connection, stream: str, wanted: dict[str, object]) -> Message | None:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reply = await connection.client.request(
                f"$JS.API.STREAM.MSG.GET.{stream}", orjson.dumps(wanted), timeout=_TIMEOUT_S
            )
    except (nats.errors.Error, OSError) as exc:
        raise Unavailable(f"NATS does not answer for {stream}") from exc
    answer = _ANSWER.decode(reply.data)
    if answer.message is not None:
        found = answer.message
        return Message(found.seq, found.data, _headers(found.hdrs), found.time, found.subject)
    if answer.error is not None and answer.error.err_code == _NO_MESSAGE:
        return None
    said = answer.error.description if answer.error else "it gives no message and no reason"
    raise Unavailable(f"NATS cannot read {stream}: {said}")


def _headers(raw: bytes) -> dict[str, str]:
    """Of `NATS/1.0`, then a line for each."""
    lines = raw.decode("utf-8", "replace").split("\r\n")[1:]
    return {
        name: value.strip()
        for name, colon, value in (line.partition(":") for line in lines)
        if colon
    }
