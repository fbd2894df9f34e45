"""Parquet files of candles. pandas and fastparquet are imported on first use and not before: the
processes that keep candles must stay small.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Final

from shared.contracts.errors import CandlesRefused
from shared.market.candles import Candle
from shared.market.layout import recognise
from shared.market.tables import Line, Table

_MAGIC: Final = b"PAR1"
#: Rows that become Python objects at a time.
_SLICE: Final = 10_000


def read_parquet(file: BinaryIO) -> Table:
    """The columns that make up candles, row by row; one row group is in memory at a time.

    Raises:
        CandlesRefused: not a Parquet file, damaged, without the columns, or the libraries that
            read it are not installed.
    """
    if file.read(len(_MAGIC)) != _MAGIC:
        raise CandlesRefused("is not a Parquet file")
    _, fastparquet = _libraries()
    try:
        parquet = fastparquet.ParquetFile(file)
        names = [str(name) for name in parquet.columns]
    except Exception as exc:
        raise CandlesRefused(f"is a damaged Parquet file: {exc}") from exc
    wanted = [names[number] for number in recognise(names).columns]
    return Table(header=wanted, header_line=0, lines=_lines(parquet, wanted))


def write_parquet(path: Path, candles: Iterable[Candle]) -> int:
    """One row per candle, `timestamp` in microseconds, UTC; how many there were.

    Raises:
        CandlesRefused: the libraries that write it are not installed.
    """
    pandas, fastparquet = _libraries()
    frame = pandas.DataFrame.from_records(list(candles), columns=["timestamp", *Candle._fields[1:]])
    frame["timestamp"] = pandas.to_datetime(frame["timestamp"], unit="ms")
    # Without `stats`, which trip over the deprecations of pandas 3.
    fastparquet.write(str(path), frame, write_index=False, stats=False)
    return len(frame)


def _lines(parquet: Any, columns: list[str]) -> Iterator[Line]:  # noqa: ANN401 - it has no types
    number = 0
    for frame in _frames(parquet, columns):
        for start in range(0, len(frame), _SLICE):
            part = frame.iloc[start : start + _SLICE]
            for cells in zip(*(part[name].tolist() for name in columns), strict=True):
                number += 1
                yield Line(number, cells)


def _frames(parquet: Any, columns: list[str]) -> Iterator[Any]:  # noqa: ANN401 - it has no types
    try:
        yield from parquet.iter_row_groups(columns=columns, index=False)
    except Exception as exc:
        raise CandlesRefused(f"is a damaged Parquet file: {exc}") from exc


def _libraries() -> tuple[ModuleType, ModuleType]:
    try:
        import fastparquet
        import pandas
    except ModuleNotFoundError as exc:
        raise CandlesRefused(
            f"Parquet files need {exc.name}: pip install 'evertrain[files]', or use CSV"
        ) from exc
    return pandas, fastparquet
