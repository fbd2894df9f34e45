"""What a trainer and its training child say to each other: frames over a socket, no pickle.

A frame is its kind (1 byte), the length of its payload (4 bytes, little-endian) and the payload.
The trainer sends JOB (a model to train) or DRIFT (a market to look at), and INPUTS; the child
answers with any number of PROGRESS and one RESULT or ERROR. The child is not trusted: everything it
says is bounded and checked.
"""

import json
import socket
import struct
from asyncio import StreamReader
from dataclasses import asdict, fields
from enum import IntEnum
from typing import Any, Final

from services.trainer.domain.jobs import DriftJob, FitJob, FitResult, Inputs
from services.trainer.domain.slopes import Slope
from shared.contracts.errors import AppError
from shared.contracts.quality import DriftMeasurement, FeatureDrift, Reliability
from shared.contracts.records import Score, TrainingPlan, Verdict
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Timeframe
from shared.contracts.trading import Backtest, ParameterSearch, SignalParameters, TradingTerms

_HEAD: Final = struct.Struct("<BI")
_LENGTH: Final = struct.Struct("<I")

#: Larger than any answer: a model file is below 64 MB.
_MAX_PAYLOAD: Final = 80 << 20

#: In characters.
_LONGEST_NOTE: Final = 400


class Kind(IntEnum):
    JOB = 1
    INPUTS = 2
    PROGRESS = 3
    RESULT = 4
    ERROR = 5
    DRIFT = 6


_KINDS: Final = frozenset(Kind)


class Garbled(Exception):
    """What arrived is not a frame, or not what a frame of its kind holds."""


def frame(kind: Kind, payload: bytes) -> bytes:
    return _HEAD.pack(kind, len(payload)) + payload


def receive(connection: socket.socket, *due: Kind) -> tuple[Kind, bytes]:
    """The next frame, which must be of one of these kinds.

    Raises:
        EOFError: the other side is gone.
        Garbled: a frame of another kind.
    """
    found, length = _HEAD.unpack(_exactly(connection, _HEAD.size))
    if found not in due:
        raise Garbled(
            f"a frame of kind {found} where {' or '.join(kind.name for kind in due)} was due"
        )
    return Kind(found), _exactly(connection, length)


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
    said = json.loads(payload)
    return FitJob(
        symbol=Symbol(said["symbol"]),
        timeframe=Timeframe(said["timeframe"]),
        horizons=tuple(said["horizons"]),
        mode=Mode(said["mode"]),
        plan=_plan(said["plan"]),
        live=said["live"],
        updates=said["updates"],
        slopes={int(horizon): Slope(**slope) for horizon, slope in said["slopes"].items()},
        parameters=SignalParameters(**said["parameters"]),
    )


def _plan(said: dict[str, Any]) -> TrainingPlan:
    return TrainingPlan(**said | {"terms": TradingTerms(**said["terms"])})


def encode_drift_job(job: DriftJob) -> bytes:
    return _json(asdict(job))


def decode_drift_job(payload: bytes) -> DriftJob:
    said = json.loads(payload)
    return DriftJob(**said | {"symbol": Symbol(said["symbol"])})


def encode_inputs(inputs: Inputs) -> bytes:
    """Each behind its length."""
    parts = (getattr(inputs, field.name) for field in fields(Inputs))
    return b"".join(piece for part in parts for piece in (_LENGTH.pack(len(part)), part))


def decode_inputs(payload: bytes) -> Inputs:
    parts, start = {}, 0
    for field in fields(Inputs):
        (length,) = _LENGTH.unpack_from(payload, start)
        start += _LENGTH.size
        parts[field.name] = payload[start : start + length]
        start += length
    return Inputs(**parts)


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
    """The length of the JSON, the JSON of all fields but the files, the artifact, the native."""
    said = {
        "artifact": len(result.artifact),
        "mode": result.mode,
        "horizons": result.horizons,
        "dropped": result.dropped,
        "scores": [asdict(score) for score in result.scores],
        "rows": result.rows,
        "candle_at_ms": result.candle_at_ms,
        "libraries": result.libraries,
        "verdict": asdict(result.verdict) if result.verdict else None,
        "needs_full": result.needs_full,
        "note": result.note,
        "search": asdict(result.search) if result.search else None,
    }
    text = _json(said)
    return b"".join([_LENGTH.pack(len(text)), text, result.artifact, result.native])


def decode_result(payload: bytes) -> FitResult:
    """Raises: Garbled."""
    try:
        (length,) = _LENGTH.unpack_from(payload)
        end = _LENGTH.size + length
        said = json.loads(payload[_LENGTH.size : end])
        native = end + _count(said["artifact"])
        return FitResult(
            artifact=payload[end:native],
            mode=Mode(said["mode"]),
            horizons=tuple(map(int, said["horizons"])),
            dropped=tuple(map(int, said["dropped"])),
            scores=tuple(map(_score, said["scores"])),
            rows=int(said["rows"]),
            candle_at_ms=int(said["candle_at_ms"]),
            libraries=dict(said["libraries"]),
            verdict=_verdict(said["verdict"]),
            native=payload[native:],
            needs_full=bool(said["needs_full"]),
            note=None if said["note"] is None else str(said["note"])[:_LONGEST_NOTE],
            search=_search(said["search"]),
        )
    except (struct.error, ValueError, TypeError, KeyError, RecursionError) as exc:
        raise Garbled(f"result: {exc!r}") from exc


def _count(said: object) -> int:
    if type(said) is not int or said < 0:
        raise ValueError(f"{said!r} is not a length")
    return said


def _score(said: dict[str, Any]) -> Score:
    interval = said["roc_auc_interval"]
    return Score(
        **said
        | {
            "roc_auc_interval": interval and tuple(map(float, interval)),
            "reliability": tuple(Reliability(**each) for each in said["reliability"]),
        }
    )


def _verdict(said: dict[str, Any] | None) -> Verdict | None:
    return Verdict(**said | {"horizons": tuple(map(int, said["horizons"]))}) if said else None


def _search(said: dict[str, Any] | None) -> ParameterSearch | None:
    if said is None:
        return None
    parameters = {name: SignalParameters(**said[name]) for name in ("before", "after")}
    results = {name: Backtest(**said[name]) for name in ("before_result", "after_result")}
    note = {"note": str(said["note"])[:_LONGEST_NOTE]}
    return ParameterSearch(**said | parameters | results | note)


def encode_measurement(measurement: DriftMeasurement) -> bytes:
    return _json(asdict(measurement))


def decode_measurement(payload: bytes) -> DriftMeasurement:
    """Raises: Garbled."""
    try:
        said = json.loads(payload)
        return DriftMeasurement(
            symbol=Symbol(said["symbol"]),
            model_version=str(said["model_version"]),
            reference_rows=int(said["reference_rows"]),
            recent_rows=int(said["recent_rows"]),
            p_value=float(said["p_value"]),
            features=tuple(map(_feature_drift, said["features"])),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise Garbled(f"measurement: {exc!r}") from exc


def _feature_drift(said: dict[str, Any]) -> FeatureDrift:
    return FeatureDrift(
        feature=str(said["feature"])[:40],
        psi=float(said["psi"]),
        psi_threshold=float(said["psi_threshold"]),
        ks=float(said["ks"]),
        p_value=float(said["p_value"]),
    )


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
