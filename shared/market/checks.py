"""Which rows are candles: one reason per refused row, and every gap between the accepted ones."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from shared.contracts.terms import Timeframe
from shared.market.candles import Candle

DAY_MS: Final = 86_400_000
#: Midnight of 1 January of the year 1: no calendar here names an earlier time.
EARLIEST_MS: Final = -62_135_596_800_000
_SATURDAY: Final = 5


class Reason(StrEnum):
    """Why a row is refused. A row with several faults carries the first in this order."""

    MALFORMED = "malformed"
    """Not six numbers, the first of them a whole number of milliseconds."""
    NOT_FINITE = "not_finite"
    """NaN, or beyond what a double can hold."""
    NEGATIVE = "negative"
    """A price of zero or below, or a volume below zero."""
    HIGH_BELOW_LOW = "high_below_low"
    OUTSIDE_RANGE = "outside_range"
    """The open or the close is not between low and high."""
    MISALIGNED_TIME = "misaligned_time"
    """The open time is not a multiple of the timeframe; for a daily candle, midnight UTC."""
    FUTURE = "future"
    """The candle has not closed yet."""
    DUPLICATE = "duplicate"
    """Its time is that of the candle before it."""
    OUT_OF_ORDER = "out_of_order"
    """Its time is before that of the candle before it."""


class Refusal(NamedTuple):
    """`row` counts from 0 in a list of rows; in a file it is the line, counted from 1."""

    row: int
    reason: Reason


class Gap(NamedTuple):
    """Candles that are not there: the open times of the first and the last, and how many."""

    from_ms: int
    to_ms: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """`accepted` is strictly ascending in time. Nothing is filled in for a gap."""

    accepted: list[Candle]
    refused: list[Refusal]
    gaps: list[Gap]


def check(
    rows: Iterable[Sequence[object]], *, timeframe: Timeframe, after: int | None, now_ms: int
) -> Checked:
    """Sort rows of (open time in ms, open, high, low, close, volume) into candles and refusals.

    `after` is the open time of the newest candle already there: rows at or before it are refused,
    and a gap behind it is reported. Cells may be anything; text is never read as a number here.
    """
    accepted: list[Candle] = []
    refused: list[Refusal] = []
    newest = after
    for number, row in enumerate(rows):
        verdict = _judge(row, timeframe, newest, now_ms)
        if isinstance(verdict, Reason):
            refused.append(Refusal(number, verdict))
        else:
            accepted.append(verdict)
            newest = verdict.at_ms
    known = [] if after is None else [after]
    return Checked(
        accepted=accepted,
        refused=refused,
        gaps=gaps([*known, *(candle.at_ms for candle in accepted)], timeframe),
    )


def gaps(times: Sequence[int], timeframe: Timeframe) -> list[Gap]:
    """What is missing between ascending open times.

    Daily candles without a single Saturday or Sunday come from a market that closes at weekends,
    so their weekends are no gaps. Its holidays are: no calendar of exchanges is kept here. For the
    same reason the nights of intraday stock data count as gaps.
    """
    closed_at_weekends = not traded_at_weekends(times, timeframe)
    found = []
    for before, at in pairwise(times):
        if at - before == timeframe.ms:
            continue
        count = missing(before, at, timeframe, closed_at_weekends=closed_at_weekends)
        if count:
            found.append(Gap(before + timeframe.ms, at - timeframe.ms, count))
    return found


def missing(before: int, at: int, timeframe: Timeframe, *, closed_at_weekends: bool) -> int:
    """How many candles fit between two open times, weekends left out where the market rests."""
    count = (at - before) // timeframe.ms - 1
    if closed_at_weekends:
        count -= _weekend_days_before(at) - _weekend_days_before(before + DAY_MS)
    return count


def traded_at_weekends(times: Iterable[int], timeframe: Timeframe) -> bool:
    """Whether weekends belong to the series; always so for what is shorter than a day."""
    return timeframe is not Timeframe.D1 or any(_weekday(at) >= _SATURDAY for at in times)


def _judge(
    row: Sequence[object], timeframe: Timeframe, newest: int | None, now_ms: int
) -> Candle | Reason:
    candle = _candle(row)
    if candle is None:
        return Reason.MALFORMED
    fault = _fault_in_numbers(candle) or _fault_in_time(candle.at_ms, timeframe, newest, now_ms)
    return fault or candle


def _candle(row: Sequence[object]) -> Candle | None:
    if len(row) != len(Candle._fields):
        return None
    at, *cells = row
    numbers = [number for cell in cells if (number := _number(cell)) is not None]
    if not isinstance(at, int) or isinstance(at, bool) or len(numbers) != len(cells):
        return None
    return Candle(at, *numbers)


def _number(cell: object) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    try:
        return float(cell)
    except OverflowError:
        return math.inf


def _fault_in_numbers(candle: Candle) -> Reason | None:
    _, opened, high, low, close, volume = candle
    if not all(map(math.isfinite, candle[1:])):
        return Reason.NOT_FINITE
    if min(opened, high, low, close) <= 0 or volume < 0:
        return Reason.NEGATIVE
    if high < low:
        return Reason.HIGH_BELOW_LOW
    if not (low <= opened <= high and low <= close <= high):
        return Reason.OUTSIDE_RANGE
    return None


def _fault_in_time(at: int, timeframe: Timeframe, newest: int | None, now_ms: int) -> Reason | None:
    if at % timeframe.ms or at < EARLIEST_MS:
        return Reason.MISALIGNED_TIME
    if at + timeframe.ms > now_ms:
        return Reason.FUTURE
    if newest is None or at > newest:
        return None
    return Reason.DUPLICATE if at == newest else Reason.OUT_OF_ORDER


def _weekday(at_ms: int) -> int:
    """0 is Monday. The epoch began on a Thursday."""
    return (at_ms // DAY_MS + 3) % 7


def _weekend_days_before(at_ms: int) -> int:
    """Saturdays and Sundays from the Monday of the epoch's week up to this midnight."""
    weeks, days = divmod(at_ms // DAY_MS + 3, 7)
    return 2 * weeks + max(0, days - _SATURDAY)
