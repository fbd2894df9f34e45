"""The ways in which exporters write a time."""

import re
from datetime import UTC, date, datetime, time
from typing import Final, NamedTuple

from shared.market.checks import DAY_MS

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - compared with what a wall clock showed
#: Numbers below these are seconds, milliseconds and microseconds; above, nanoseconds. Seconds end
#: in the year 5138; the smallest number read as milliseconds is in 1973.
_SECONDS_BELOW: Final = 10**11
_MS_BELOW: Final = 10**14
_US_BELOW: Final = 10**17
_NUMBER: Final = re.compile(r"-?\d{1,19}(\.\d*)?")
_EIGHT_DIGITS: Final = re.compile(r"\d{8}")
_DATE: Final = re.compile(r"(\d{4})[./-](\d{1,2})[./-](\d{1,2})")
_ZONE: Final = re.compile(r"\s*(?:UTC|GMT|([+-]\d\d:?\d\d))$")


class Stamp(NamedTuple):
    """One instant, and what the clock on the wall showed there, both in ms since the epoch."""

    utc_ms: int
    wall_ms: int

    def day(self) -> int:
        """Midnight UTC of the day on the wall if it showed midnight, else the instant.

        A stock's daily candle written as `2026-11-20 00:00:00-05:00` is that of 20 November.
        """
        return self.wall_ms if self.wall_ms % DAY_MS == 0 else self.utc_ms


def stamp(cell: object) -> Stamp | None:
    """Read a time; a time without a zone is UTC. None for what is no time.

    Numbers count seconds, ms, us or ns, told apart by their size; eight digits are a date. Text
    is ISO 8601 with `-`, `.` or `/` in the date, which must begin with the year: whether 03/04 is
    in March or in April cannot be known.
    """
    match cell:
        case bool():
            return None
        case int() | float():
            return _text(f"{cell:.0f}" if cell == cell // 1 else "")
        case datetime():
            return None if cell != cell else _moment(cell)  # pandas' NaT is a datetime
        case date():
            return _moment(datetime.combine(cell, time()))
        case str():
            return _text(cell.strip())
        case _:
            return None


def _text(text: str) -> Stamp | None:
    if _NUMBER.fullmatch(text) and not _EIGHT_DIGITS.fullmatch(text):
        return _count(text)
    iso = _ZONE.sub(lambda m: m[1] or "+00:00", text)
    iso = _DATE.sub(lambda m: f"{m[1]}-{int(m[2]):02}-{int(m[3]):02}", iso, count=1)
    try:
        return _moment(datetime.fromisoformat(iso))
    except (ValueError, OverflowError):
        return None


def _count(text: str) -> Stamp:
    whole, _, fraction = text.partition(".")
    number = int(whole)
    size = abs(number)
    if size < _SECONDS_BELOW:
        ms = number * 1000 + int((fraction + "000")[:3])
    elif size < _MS_BELOW:
        ms = number
    elif size < _US_BELOW:
        ms = number // 1000
    else:
        ms = number // 1_000_000
    return Stamp(ms, ms)


def _moment(at: datetime) -> Stamp:
    wall = at.replace(tzinfo=None)
    utc = wall if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
    return Stamp(_ms(utc), _ms(wall))


def _ms(at: datetime) -> int:
    since = at - _EPOCH
    return since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000
