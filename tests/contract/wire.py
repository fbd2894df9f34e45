"""Every class that crosses the wire, and the golden files that show what it looked like.

A golden file is written once and never edited: streams and buckets may hold such bytes for months.
When a class gains a field, the old file stays and a new one, with the next number, is added.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from shared.contracts import (
    codec,
    configuration,
    events,
    quality,
    records,
    reports,
    requests,
    trading,
)

_GOLDEN = Path(__file__).parent / "golden"


def wire_classes() -> dict[str, type]:
    """By the stem of their golden files: `events/run.started`, `records/Problem`."""
    found: dict[str, type] = {f"events/{name}": cls for name, cls in events.EVENT_TYPES.items()}
    for module in (configuration, quality, records, requests, trading):
        folder = module.__name__.rpartition(".")[2]
        found |= {f"{folder}/{cls.__name__}": cls for cls in _dataclasses_of(module)}
    return found | {"reports/ServiceReport": reports.ServiceReport}


def golden_files(stem: str) -> list[Path]:
    """Oldest first."""
    folder, _, name = stem.partition("/")
    return sorted((_GOLDEN / folder).glob(f"{name}.[0-9]*.json"), key=_number)


def all_golden_files() -> list[Path]:
    return sorted(_GOLDEN.rglob("*"))


def read(path: Path) -> bytes:
    return path.read_bytes().rstrip(b"\n")


def decode(stem: str, data: bytes) -> Any:
    """As a reader would: an event without knowing which."""
    if stem.startswith("events/"):
        return codec.decode_event(data)
    return codec.decode(data, wire_classes()[stem])


def _dataclasses_of(module: ModuleType) -> Iterator[type]:
    for value in vars(module).values():
        if dataclasses.is_dataclass(value) and getattr(value, "__module__", "") == module.__name__:
            assert isinstance(value, type)
            yield value


def _number(path: Path) -> int:
    return int(path.suffixes[-2][1:])
