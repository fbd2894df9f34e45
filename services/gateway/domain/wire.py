"""The websocket's messages as bytes: what clients send, what they are sent, and ready frames.

Frames are what goes to a transport: an event is encoded and framed once, for every client.
"""

import struct
from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import Final

import msgspec
import orjson

from shared.contracts import codec
from shared.contracts.errors import MalformedMessage

_TEXT: Final = 0x81
PING_FRAME: Final = b"\x89\x00"
_SHORT: Final = struct.Struct("!BB")
_MEDIUM: Final = struct.Struct("!BBH")
_LONG: Final = struct.Struct("!BBQ")

#: What a client may name its requests, so as to know the answers.
MessageId = int | str | None


class Close(IntEnum):
    """Why the server ends a connection. 4000 and above are ours; see the contract."""

    #: Never sent: it says that nobody was there to say goodbye to.
    SILENT = 1006
    INVALID_TEXT = 1007
    RESTARTING = 1012
    BAD_MESSAGE = 4000
    NOT_AUTHENTICATED = 4001
    TOO_SLOW = 4008
    TOO_LARGE = 4009
    TOO_MANY = 4029


class Position(msgspec.Struct, frozen=True):
    """How far a client has read a channel."""

    epoch: str
    seq: int


class Subscribe(msgspec.Struct, frozen=True, tag_field="op", tag="subscribe"):
    channels: tuple[str, ...]
    id: MessageId = None
    since: dict[str, Position] = {}


class Unsubscribe(msgspec.Struct, frozen=True, tag_field="op", tag="unsubscribe"):
    channels: tuple[str, ...]
    id: MessageId = None


class Ping(msgspec.Struct, frozen=True, tag_field="op", tag="ping"):
    id: MessageId = None


class Auth(msgspec.Struct, frozen=True, tag_field="op", tag="auth"):
    token: str
    id: MessageId = None


ClientMessage = Subscribe | Unsubscribe | Ping | Auth
_MESSAGE: Final[msgspec.json.Decoder[ClientMessage]] = msgspec.json.Decoder(ClientMessage)


def read(text: bytes) -> ClientMessage:
    """Read what a client sent.

    Raises:
        MalformedMessage: not JSON, or not one of the messages; it says where.
    """
    try:
        message: ClientMessage = _MESSAGE.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise MalformedMessage(
            f'{exc}; send {{"op": "subscribe", "channels": [...]}}, unsubscribe, ping or auth'
        ) from exc
    return message


def welcome(
    *, session: str, epoch: str, heartbeat_s: float, limits: Mapping[str, int | float]
) -> bytes:
    return _message(
        {
            "type": "welcome",
            "session": session,
            "epoch": epoch,
            "heartbeat_s": heartbeat_s,
            "limits": limits,
        }
    )


def authenticated(id: MessageId, role: str) -> bytes:
    return _message({"type": "authenticated", "id": id, "role": role})


def subscribed(id: MessageId, channel: str, *, epoch: str, seq: int, recovered: bool) -> bytes:
    return _message(
        {
            "type": "subscribed",
            "id": id,
            "channel": channel,
            "epoch": epoch,
            "seq": seq,
            "recovered": recovered,
        }
    )


def unsubscribed(id: MessageId, channel: str) -> bytes:
    return _message({"type": "unsubscribed", "id": id, "channel": channel})


def pong(id: MessageId, at: datetime) -> bytes:
    return _message({"type": "pong", "id": id, "at": at})


def heartbeat(at: datetime) -> bytes:
    return _message({"type": "heartbeat", "at": at})


def closing(retry_after_ms: int) -> bytes:
    return _message({"type": "closing", "retry_after_ms": retry_after_ms})


def error(id: MessageId, code: str, message: str, channel: str | None = None) -> bytes:
    about = {"channel": channel} if channel is not None else {}
    return _message({"type": "error", "id": id, "code": code, "message": message, **about})


def snapshot(channel: str, seq: int, data: bytes) -> bytes:
    """`data` is JSON already."""
    head = b'{"type":"snapshot","channel":%b,"seq":%d,"data":' % (orjson.dumps(channel), seq)
    return framed(b"".join((head, data, b"}")))


def event(channel: str, seq: int, at: datetime, data: bytes) -> bytes:
    """`data` is JSON already."""
    head = b'{"type":"event","channel":%b,"seq":%d,"at":%b,"data":' % (
        orjson.dumps(channel),
        seq,
        codec.encode(at),
    )
    return framed(b"".join((head, data, b"}")))


def conflated(frame: bytes, count: int) -> bytes:
    """The frame of an event, saying that `count` values of its channel before it were left out."""
    return framed(b'%b,"conflated":%d}' % (_payload(frame)[:-1], count))


def framed(text: bytes) -> bytes:
    """One unfragmented, unmasked text frame (RFC 6455, 5.2)."""
    size = len(text)
    if size < 126:
        return _SHORT.pack(_TEXT, size) + text
    if size < 1 << 16:
        return _MEDIUM.pack(_TEXT, 126, size) + text
    return _LONG.pack(_TEXT, 127, size) + text


def _message(fields: Mapping[str, object]) -> bytes:
    return framed(codec.encode(fields))


def _payload(frame: bytes) -> bytes:
    header = {126: _MEDIUM.size, 127: _LONG.size}.get(frame[1], _SHORT.size)
    return frame[header:]
