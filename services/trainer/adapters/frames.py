"""What a trainer and its training child say to each other: frames over a socket, no pickle.

A frame is its kind (1 byte), the length of its payload (4 bytes, little-endian) and the payload.
The trainer sends JOB and CANDLES; the child answers with any number of PROGRESS and one RESULT or
ERROR. The child is not trusted: everything it says is bounded and checked.
"""

import json
import socket
import struct
from asyncio import StreamReader
from dataclasses import asdict
from enum import IntEnum
from typing import Any, Final

from services.trainer.domain.jobs import FitJob, FitResult
from shared.contracts.errors import AppError
from shared.contracts.records import Score, TrainingPlan
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Timeframe

_HEAD: Final = struct.Struct("<BI")
_LENGTH: Final = struct.Struct("<I")

#: Larger than any answer: a model file is below 64 MB.
_MAX_PAYLOAD: Final = 80 << 20


class Kind(IntEnum):
    JOB = 1
    CANDLES = 2
    PROGRESS = 3
    RESULT = 4
    ERROR = 5


_KINDS: Final = frozenset(Kind)


class Garbled(Exception):
    """What arrived is not a frame, or not what a frame of its kind holds."""


def frame(kind: Kind, payload: bytes) -> bytes:
    return _HEAD.pack(kind, len(payload)) + payload


def receive(connection: socket.socket, kind: Kind) -> bytes:
    """The payload of the next frame, which must be of that kind.

    Raises:
        EOFError: the other side is gone.
        Garbled: a frame of another kind.
    """
    found, length = _HEAD.unpack(_exactly(connection, _HEAD.size))
    if found != kind:
        raise Garbled(f"a frame of kind {found} where {kind.name} was due")
    return _exactly(connection, length)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray(size)
    unread = memoryview(data)
    while unread:
        count = connection.recv_into(unread)
        if not count:
            raise EOFError
        unread = unread[count:]
    return bytes(data)


async def read(reader: StreamReader) -> tuple[Kind, bytes]:
    """The next frame.

    Raises:
        IncompleteReadError: the other side is gone.
        Garbled: an unknown kind, or longer than any frame may be.
    """
    number, length = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    if number not in _KINDS or length > _MAX_PAYLOAD:
        raise Garbled(f"a frame of kind {number} and {length} bytes")
    return Kind(number), await reader.readexactly(length)


def encode_job(job: FitJob) -> bytes:
    return _json(asdict(job))


def decode_job(payload: bytes) -> FitJob:
    fields = json.loads(payload)
    return FitJob(
        symbol=Symbol(fields["symbol"]),
        timeframe=Timeframe(fields["timeframe"]),
        horizons=tuple(fields["horizons"]),
        mode=Mode(fields["mode"]),
        plan=TrainingPlan(**fields["plan"]),
    )


def encode_progress(stage: str, done: float) -> bytes:
    return _json([stage, done])


def decode_progress(payload: bytes) -> tuple[str, float]:
    """Raises: Garbled."""
    try:
        stage, done = json.loads(payload)
        return str(stage)[:40], float(done)
    except (ValueError, TypeError, RecursionError) as exc:
        raise Garbled(f"progress: {exc}") from exc


def encode_result(result: FitResult) -> bytes:
    """The length of the JSON, the JSON of all fields but the artifact, the artifact."""
    fields = {
        "horizons": result.horizons,
        "dropped": result.dropped,
        "scores": [asdict(score) for score in result.scores],
        "rows": result.rows,
        "candle_at_ms": result.candle_at_ms,
        "libraries": result.libraries,
    }
    text = _json(fields)
    return b"".join([_LENGTH.pack(len(text)), text, result.artifact])


def decode_result(payload: bytes) -> FitResult:
    """Raises: Garbled."""
    try:
        (length,) = _LENGTH.unpack_from(payload)
        end = _LENGTH.size + length
        fields = json.loads(payload[_LENGTH.size : end])
        return FitResult(
            artifact=payload[end:],
            horizons=tuple(map(int, fields["horizons"])),
            dropped=tuple(map(int, fields["dropped"])),
            scores=tuple(Score(**score) for score in fields["scores"]),
            rows=int(fields["rows"]),
            candle_at_ms=int(fields["candle_at_ms"]),
            libraries=dict(fields["libraries"]),
        )
    except (struct.error, ValueError, TypeError, KeyError, RecursionError) as exc:
        raise Garbled(f"result: {exc!r}") from exc


def encode_error(error: AppError) -> bytes:
    return _json([type(error).__name__, str(error)])


def decode_error(payload: bytes) -> AppError:
    """The same error that was raised in the child, of the same class, with the same text.

    Raises: Garbled.
    """
    try:
        name, text = json.loads(payload)
        kind = _errors(AppError)[name]
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise Garbled(f"error: {exc!r}") from exc
    error = kind.__new__(kind, text)
    Exception.__init__(error, text)  # not its own, which would word the text once more
    return error


def _errors(base: type[AppError]) -> dict[str, type[AppError]]:
    found = {base.__name__: base}
    for kind in base.__subclasses__():
        found |= _errors(kind)
    return found


def _json(value: Any) -> bytes:  # noqa: ANN401, whatever JSON can hold
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
