"""Which full model a model comes from, and how many updates ago."""

from dataclasses import dataclass
from datetime import datetime

from shared.contracts.records import ModelRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """See the fields of `ModelRecord`."""

    native_sha256: str | None
    base_version: str | None = None
    base_at: datetime | None = None
    updates: int = 0


def after(live: ModelRecord) -> Descent:
    """The descent of an update that takes this model's place: they have the same base."""
    return Descent(
        native_sha256=live.native_sha256,
        base_version=live.base_version or live.version,
        base_at=live.trained_at,
        updates=live.updates + 1,
    )
