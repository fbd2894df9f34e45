"""`candles`."""

from pathlib import Path
from typing import Annotated

import typer

from evertrain.commands.parameters import Files, Json, OneSymbol, OptionalSymbol, OptionalTimeframe

app = typer.Typer(help="The candle store.", no_args_is_help=True)


@app.command("import")
def import_files(
    paths: Files, symbol: OptionalSymbol = None, timeframe: OptionalTimeframe = None
) -> None:
    """Store the candles of CSV and Parquet files.

    Columns are recognised by the names that the common exporters give them. The symbol comes from
    a column, from the option, or from a name like BTC_USDT-15m.csv; the timeframe from the option,
    the name, or the distance between rows. Exit code: 1 when rows were refused, 2 when a file was.

    For example:

      evertrain candles import BTC_USDT-15m.csv ETH_USDT-15m.parquet

      evertrain candles import export.csv --symbol THYAO.IS --timeframe 1d
    """
    from evertrain.candles import import_file, show_import
    from evertrain.exits import Exit
    from evertrain.output import console
    from evertrain.session import on_the_bus
    from shared.bus.connection import Connection

    out = console()

    async def import_all(connection: Connection) -> Exit:
        worst = Exit.DONE
        for path in paths:
            imported = await import_file(connection, path, symbol, timeframe)
            show_import(imported, out)
            worst = max(worst, imported.exit)
        return worst

    raise typer.Exit(on_the_bus(import_all))


@app.command()
def info(json: Json = False) -> None:
    """List every series: first and last candle, rows, gaps, how far it is behind, and why.

    For example: evertrain candles info
    """
    from evertrain.candles import show_summaries, summaries
    from evertrain.session import answer
    from shared.runtime.clock import utc_now

    answer(summaries, lambda found, out: show_summaries(found, out, utc_now()), json=json)


@app.command()
def update() -> None:
    """Fetch the newest candles now, and ask again for those that are missing.

    A symbol that has just failed waits for its turn all the same: see `evertrain candles info`.

    For example: evertrain candles update
    """
    from evertrain import candles
    from evertrain.output import console
    from evertrain.session import on_the_bus

    on_the_bus(candles.update)
    console().print("a scheduler fetches what is new: see `evertrain candles info`")


@app.command()
def export(
    symbol: OneSymbol,
    timeframe: OptionalTimeframe = None,
    output: Annotated[
        Path | None,
        typer.Option(help="CSV, or Parquet if it ends so.", show_default="like BTC_USDT-15m.csv"),
    ] = None,
) -> None:
    """Write one series to a file.

    For example:

      evertrain candles export BTC/USDT

      evertrain candles export AAPL --output aapl.parquet
    """
    from evertrain import candles
    from evertrain.output import console
    from evertrain.session import on_the_bus

    path, rows = on_the_bus(
        lambda connection: candles.export(connection, symbol, timeframe, output)
    )
    console().print(f"{rows} candles are in {path}")
