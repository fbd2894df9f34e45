"""Which artifacts are still needed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.contracts.instants import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is kept although nothing lives by it: the newest models of each symbol, and whatever was
    stored lately, so that there is time to look at a model that was refused.
    """

    models_per_symbol: int
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """As much of a `ModelRecord` as says which files it needs."""

    version: str
    created_at: Instant
    sha256: str
    native_sha256: str | None = None


def needed(kept: Iterable[Sequence[Version]], retention: Retention) -> frozenset[str]:
    """The names of the artifacts, and of the files that updates start from, that have to stay
    however old they are. `kept` is what was written for each symbol, oldest first.
    """
    return frozenset(
        name
        for models in kept
        for model in _newest(models, retention.models_per_symbol)
        for name in (model.sha256, model.native_sha256)
        if name is not None
    )


def aged_out(stored_at: datetime, retention: Retention, now: datetime) -> bool:
    return now - stored_at > timedelta(days=retention.days)


def _newest(models: Sequence[Version], count: int) -> Iterator[Version]:
    """The live one, and so many versions in all, by when they were made."""
    if models:
        yield models[-1]
    made = {model.version: model for model in models}
    yield from sorted(made.values(), key=lambda model: model.created_at, reverse=True)[:count]
