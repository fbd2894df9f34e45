"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe

Json = Annotated[bool, typer.Option("--json", help="For programs.")]

OneSymbol = Annotated[
    Symbol, typer.Argument(parser=Symbol, metavar="SYMBOL", help="Like BTC/USDT or AAPL.")
]

OptionalSymbol = Annotated[
    Symbol | None, typer.Option(parser=Symbol, metavar="SYMBOL", help="Like BTC/USDT or AAPL.")
]

OptionalTimeframe = Annotated[Timeframe | None, typer.Option(help="Length of a candle.")]

OneHorizon = Annotated[
    int | None, typer.Option(min=1, max=500, help="Candles ahead.", show_default="all")
]

SymbolList = Annotated[str, typer.Argument(metavar="A,B", help="Like BTC/USDT,ETH/USDT.")]

OptionalSymbolList = Annotated[
    str | None, typer.Option("--symbols", metavar="A,B", help="Which.", show_default="all")
]

Files = Annotated[list[Path], typer.Argument(metavar="PATH...", help="CSV or Parquet files.")]


def listed(text: str) -> tuple[Symbol, ...]:
    """Raises InvalidSymbol."""
    return tuple(dict.fromkeys(Symbol(part.strip()) for part in text.split(",")))
