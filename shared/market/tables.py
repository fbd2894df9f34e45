"""CSV files as numbered lines of cells: told from other files, sniffed, and never trusted."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO, Final, NamedTuple

from shared.contracts.errors import CandlesRefused

_LONGEST_LINE: Final = 1 << 16
#: A title or a comment may stand above the header, not a whole page.
_LINES_ABOVE_HEADER: Final = 10
_FEWEST_COLUMNS: Final = 5
_DELIMITERS: Final = ",;\t|"
_BOM: Final = b"\xef\xbb\xbf"
_MAGICS: Final = {
    b"\x1f\x8b": "is compressed: unpack it first",
    b"PK\x03\x04": "is compressed: unpack it first",
    b"PAR1": "is a Parquet file: name it so",
    b"ARROW1": "is a Feather file: convert it to Parquet or CSV",
    b"FEA1": "is a Feather file: convert it to Parquet or CSV",
    b"\xff\xfe": "is UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "is UTF-16 text: save it as UTF-8",
}


class Line(NamedTuple):
    """`number` counts from 1, as editors do; in a Parquet file it is the row."""

    number: int
    cells: Sequence[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`header` is the first line with columns, be it names or data; `lines` comes after it, and is
    read as it is asked for.
    """

    header: Sequence[str]
    header_line: int
    lines: Iterator[Line]
    ticker: str | None = None


def read_csv(file: BinaryIO) -> Table:
    """Find the delimiter and the header. Reading `lines` may raise the same error later on.

    Raises:
        CandlesRefused: empty, not UTF-8 text, or nothing in it looks like a table.
    """
    _refuse_other_formats(file)
    lines = _lines(file)
    number, header, delimiter = _header(lines)
    rest = (Line(n, _cells(line, delimiter)) for n, line in lines)
    if header[0] == "Price":
        return _yahoo_download(header, number, rest)
    return Table(header=header, header_line=number, lines=rest)


def _refuse_other_formats(file: BinaryIO) -> None:
    """Know by its first bytes what is no text; else go on behind a byte order mark."""
    start = file.read(8)
    file.seek(len(_BOM) if start.startswith(_BOM) else 0)
    for magic, what in _MAGICS.items():
        if start.startswith(magic):
            raise CandlesRefused(what)


def _header(lines: Iterator[tuple[int, str]]) -> tuple[int, list[str], str]:
    above: list[str] = []
    for number, text in lines:
        delimiter = max(_DELIMITERS, key=text.count)
        cells = _cells(text, delimiter)
        if len(cells) >= _FEWEST_COLUMNS:
            return number, cells, delimiter
        above.append(text)
        if len(above) > _LINES_ABOVE_HEADER:
            break
    raise CandlesRefused(
        f"is not a table of candles: it begins with {above[0][:60]!r}" if above else "is empty"
    )


def _lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    number = 0
    while raw := file.readline(_LONGEST_LINE):
        number += 1
        if len(raw) == _LONGEST_LINE:
            raise CandlesRefused(f"line {number}: longer than {_LONGEST_LINE} bytes")
        if b"\0" in raw:
            raise CandlesRefused(f"line {number}: holds a NUL byte; this is no text")
        try:
            text = raw.decode().strip("\r\n")
        except UnicodeDecodeError as exc:
            raise CandlesRefused(f"line {number}: is not UTF-8 text") from exc
        if text.strip():
            yield number, text


def _cells(text: str, delimiter: str) -> list[str]:
    if '"' not in text:
        return text.split(delimiter)
    # Line by line, so that a stray quote costs one row and not all the rows up to the next quote.
    try:
        return next(csv.reader([text], delimiter=delimiter))
    except csv.Error:
        return [text]


def _yahoo_download(header: list[str], number: int, lines: Iterator[Line]) -> Table:
    """Read the three lines that yfinance puts on top: `Price,Close,...`, `Ticker,AAPL,...` and
    `Date,,...`.
    """
    second, third = next(lines, None), next(lines, None)
    if second is None or third is None or second.cells[0] != "Ticker":
        back = chain((line for line in (second, third) if line is not None), lines)
        return Table(header=header, header_line=number, lines=back)
    return Table(
        header=[str(third.cells[0]), *header[1:]],
        header_line=number,
        lines=lines,
        ticker=str(second.cells[1]),
    )
