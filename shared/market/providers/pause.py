"""Leaving a provider alone when it asks for that."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from shared.contracts.errors import Unavailable
from shared.runtime.clock import Clock

#: A pause that is longer is not waited for: it is an error, and what needs an answer comes again.
_WORTH_WAITING_S: Final = 20.0
#: No provider is believed when it says more.
_LONGEST_S: Final = 86_400.0


class Pause:
    """The time in which a provider wants no requests, whoever sends them."""

    def __init__(self, provider: str, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._until: datetime | None = None

    def begin(self, seconds: float) -> None:
        until = self._clock() + timedelta(seconds=min(seconds, _LONGEST_S))
        self._until = until if self._until is None else max(until, self._until)

    async def passed(self) -> None:
        """Wait for its end; at once when there is none.

        Raises:
            Unavailable: it lasts too long to wait for.
        """
        if self._until is None:
            return
        left = (self._until - self._clock()).total_seconds()
        if left > _WORTH_WAITING_S:
            raise Unavailable(
                f"{self._provider} wants no requests before {self._until:%Y-%m-%d %H:%M:%S} UTC"
            )
        await asyncio.sleep(left)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that an HTTP answer asks to wait for (RFC 9110, 10.2.3); None if it does not."""
    value = header(headers, "retry-after")
    if value.isascii() and value.isdecimal():
        return float(value)
    at = http_date(value)
    return None if at is None else max(0.0, (at - now).total_seconds())


def header(headers: Mapping[str, str], name: str) -> str:
    """The value of a header, empty where it is missing; in whatever case it is written."""
    return {key.lower(): value.strip() for key, value in headers.items()}.get(name.lower(), "")


def http_date(value: str) -> datetime | None:
    """An HTTP date; None for anything else."""
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return at if at.tzinfo else None
