"""A full model as the learning libraries know it: what its updates start from, in one file.

    magic      8 bytes
    sha256    32 bytes, of everything behind it
    size       8 bytes, of the content when it is unpacked, little-endian
    content       packed by zlib: the length of the header (4 bytes), the header (JSON), the model's
                  artifact, and every booster in its library's own format, horizon by horizon

The libraries' readers crash on damaged files, or read another model out of them. So no byte of a
file reaches them before its checksum is compared, and then only in a training child. Bins are not
kept: leaves are refreshed and trees are added on plain rows.
"""

import hashlib
import json
import struct
import zlib
from dataclasses import asdict, dataclass
from typing import Any, Final

from services.trainer.domain.learners import Effort
from shared.contracts.errors import ArtifactRefused
from shared.contracts.quality import Reliability
from shared.contracts.records import Score
from shared.model.artifact import MAX_SIZE, Model, decode

_MAGIC: Final = b"EVTNATIV"
_SIZE: Final = struct.Struct("<Q")
_LENGTH: Final = struct.Struct("<I")
_DIGEST: Final = slice(len(_MAGIC), len(_MAGIC) + hashlib.sha256().digest_size)
_HEAD: Final = _DIGEST.stop + _SIZE.size

#: Larger than what any full model unpacks to.
_MAX_CONTENT: Final = 8 * MAX_SIZE

#: The fastest; the libraries' formats shrink to a third by it.
_LEVEL: Final = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Base:
    """A full model: `model` as it is served, the `effort` and the `scores` of its making, and its
    `boosters` [horizons][boosters] as their libraries write them, empty where one is a constant.
    """

    model: Model
    effort: Effort
    scores: tuple[Score, ...]
    boosters: tuple[tuple[bytes, ...], ...]


def encode_base(
    artifact: bytes, effort: Effort, scores: tuple[Score, ...], boosters: list[list[bytes]]
) -> bytes:
    """The file of a full model. The same model gives the same bytes."""
    header = {
        "format": 1,
        "effort": asdict(effort),
        "scores": [asdict(score) for score in scores],
        "artifact": len(artifact),
        "boosters": [[len(booster) for booster in row] for row in boosters],
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    natives = [booster for row in boosters for booster in row]
    content = b"".join([_LENGTH.pack(len(text)), text, artifact, *natives])
    body = _SIZE.pack(len(content)) + zlib.compress(content, _LEVEL)
    return _MAGIC + hashlib.sha256(body).digest() + body


def decode_base(data: bytes) -> Base:
    """Read the file of a full model; the boosters are left to their libraries.

    Raises:
        ArtifactRefused: there is none, it is damaged, or this version does not read it.
    """
    content = _content(data)
    try:
        (length,) = _LENGTH.unpack_from(content)
        start = _LENGTH.size + length
        header = json.loads(content[_LENGTH.size : start])
        if header["format"] != 1:
            raise ArtifactRefused("the base has a format that this version does not read")
        end = start + header["artifact"]
        return Base(
            model=decode(content[start:end]),
            effort=Effort(**header["effort"]),
            scores=tuple(map(_score, header["scores"])),
            boosters=_boosters(content, end, header["boosters"]),
        )
    except (struct.error, ValueError, TypeError, KeyError, RecursionError) as exc:
        raise ArtifactRefused(f"the header of the base is not understood: {exc!r}") from exc


def _content(data: bytes) -> bytes:
    if len(data) < _HEAD or not data.startswith(_MAGIC):
        raise ArtifactRefused("not a base" if data else "there is no base")
    if hashlib.sha256(memoryview(data)[_DIGEST.stop :]).digest() != data[_DIGEST]:
        raise ArtifactRefused("the base is damaged: its content does not match its checksum")
    (size,) = _SIZE.unpack_from(data, _DIGEST.stop)
    if size > _MAX_CONTENT:
        raise ArtifactRefused(f"the base says that it unpacks to {size} bytes")
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(memoryview(data)[_HEAD:], size)
    except zlib.error as exc:
        raise ArtifactRefused(f"the base does not unpack: {exc}") from exc
    if len(content) != size or unpacker.unconsumed_tail:
        raise ArtifactRefused("the base does not unpack to what it says")
    return content


def _boosters(content: bytes, start: int, sizes: list[list[int]]) -> tuple[tuple[bytes, ...], ...]:
    """Raises ValueError: the sizes do not add up to what is there."""
    rows = []
    for row in sizes:
        natives = []
        for size in row:
            natives.append(content[start : start + size])
            start += size
        rows.append(tuple(natives))
    if start != len(content):
        raise ValueError("boosters are missing, or bytes are left over")
    return tuple(rows)


def _score(said: dict[str, Any]) -> Score:
    interval = said["roc_auc_interval"]
    bins = tuple(Reliability(**each) for each in said.get("reliability", ()))
    return Score(
        **said | {"roc_auc_interval": tuple(interval) if interval else None, "reliability": bins}
    )
