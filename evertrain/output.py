"""Tables for people, JSON for programs."""

import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

#: Where the output goes to no terminal nothing is cut.
_WIDE: Final = 200


def console() -> Console:
    """Standard output. What others wrote is shown as it is: brackets are no markup."""
    return Console(
        markup=False,
        emoji=False,
        highlight=False,
        width=None if sys.stdout.isatty() else _WIDE,
    )


def show_json(value: object) -> None:
    options = orjson.OPT_UTC_Z | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    sys.stdout.write(orjson.dumps(value, option=options).decode())


def table(*columns: str, rows: Iterable[Iterable[object]], numbers: Iterable[str] = ()) -> Table:
    """`numbers` are the columns that are set flush right. None is shown as a dash."""
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    right = set(numbers)
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left")
    for row in rows:
        drawn.add_row(*("-" if cell is None else str(cell) for cell in row))
    return drawn


def duration(seconds: float | None) -> str:
    """In the two units that matter: `42 s`, `3 min 5 s`, `4 h 10 min`, `12 d 3 h`."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    for size, unit, smaller_size, smaller in _UNITS:
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def age(at: datetime | None, now: datetime) -> str:
    return "-" if at is None else duration((now - at) / timedelta(seconds=1))


def moment(at: datetime | None) -> str:
    """UTC, to the minute; a day alone where the time is midnight, as in daily candles."""
    if at is None:
        return "-"
    return f"{at:%Y-%m-%d}" if (at.hour, at.minute) == (0, 0) else f"{at:%Y-%m-%d %H:%M}"


def percent(value: float | None, *, sign: bool = False) -> str:
    return "-" if value is None else f"{value:{'+' if sign else ''}.2f} %"


def money(cents: int | None, *, sign: bool = False) -> str:
    """Of the quote currency: `1,234.50`. Exact, however large."""
    if cents is None:
        return "-"
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else '+' if sign else ''}{whole:,}.{rest:02}"


def price(value: float | None) -> str:
    """To eight digits that count, however large or small."""
    return "-" if value is None else f"{Decimal(f'{value:.8g}'):,f}"


def share(value: float | None) -> str:
    """Of 1, in percent."""
    return "-" if value is None else f"{100 * value:.1f} %"


def score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


_UNITS: Final = (
    (86_400, "d", 3600, "h"),
    (3600, "h", 60, "min"),
    (60, "min", 1, "s"),
)
