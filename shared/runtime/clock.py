"""The wall clock, as the one thing that is passed in rather than read."""

from collections.abc import Callable
from datetime import UTC, datetime

#: Gives the present, aware and in UTC.
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


def from_ms(ms: int) -> datetime:
    """Milliseconds since the epoch as an aware time in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def to_ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
