"""Bytes to messages and back. The only place that knows the wire is JSON."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec
import orjson

from shared.contracts.errors import MalformedMessage
from shared.contracts.events import EVENT_TYPES, Event
from shared.contracts.symbols import Symbol

T = TypeVar("T")
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}

#: What the decoder says of bytes that it cannot read; it skips unknown fields by recursion.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Head(msgspec.Struct):
    type: str


_HEAD: Final = msgspec.json.Decoder(_Head)


def encode(message: object) -> bytes:
    """Compact JSON; times in UTC with `Z`; a float that is not finite becomes null."""
    return orjson.dumps(message, option=orjson.OPT_UTC_Z)


def encoded_list(messages: Iterable[bytes]) -> bytes:
    """Of messages that are encoded already, as they were stored."""
    return b"[" + b",".join(messages) + b"]"


def decode(data: bytes, kind: type[T]) -> T:
    """Read a message of one kind, ignoring fields it does not know.

    An empty payload reads as `{}`, so that `nats pub SUBJECT ''` is a request with every default.

    Raises:
        MalformedMessage: not JSON, or a field that is missing or of the wrong shape; it says which.
        InvalidSymbol: a symbol outside the grammar.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind, dec_hook=_symbol)
    try:
        message: T = decoder.decode(data.strip() or b"{}")
    except _UNREADABLE as exc:
        raise MalformedMessage(str(exc)) from exc
    return message


def decode_event(data: bytes) -> Event:
    """Read any event.

    Raises:
        MalformedMessage: not an event, or of a type this version does not know.
        InvalidSymbol: a symbol outside the grammar.
    """
    try:
        kind = EVENT_TYPES.get(_HEAD.decode(data).type)
    except _UNREADABLE as exc:
        raise MalformedMessage(str(exc)) from exc
    if kind is None:
        raise MalformedMessage("an event of a type this version does not know")
    return decode(data, kind)


def _symbol(kind: type, value: object) -> object:
    if kind is Symbol and isinstance(value, str):
        return _checked(value)
    raise TypeError(f"expected {kind.__name__.lower()}, got {type(value).__name__}")


#: The record of a run names every symbol, and is read for each of its jobs.
_checked: Final = lru_cache(maxsize=4096)(Symbol)
