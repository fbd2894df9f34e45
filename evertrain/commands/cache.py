"""`cache`."""

from typing import Annotated

import typer

from evertrain.commands.parameters import Json, OptionalSymbolList, listed

app = typer.Typer(help="The prediction cache.", no_args_is_help=True)


@app.command()
def info(json: Json = False) -> None:
    """Show what is cached, in memory and on disk, and how well that serves.

    For example: evertrain cache info --json | jq .hit_rate
    """
    from evertrain import cache
    from evertrain.output import console, show_json
    from evertrain.session import on_the_bus
    from shared.runtime.clock import utc_now

    report = on_the_bus(cache.info)
    if json:
        show_json(report)
    else:
        cache.show_info(report, console(), utc_now())


@app.command()
def pregenerate(
    symbols: OptionalSymbolList = None,
    ttl_hours: Annotated[
        float | None,
        typer.Option(min=0.01, max=168, help="How long they live.", show_default="as usual"),
    ] = None,
    json: Json = False,
) -> None:
    """Compute predictions before anyone asks for them.

    For example:

      evertrain cache pregenerate

      evertrain cache pregenerate --symbols AAPL,MSFT --ttl-hours 24
    """
    from evertrain import cache
    from evertrain.output import console, show_json
    from evertrain.session import on_the_bus
    from shared.contracts.requests import PregenerateRequest

    request = PregenerateRequest(
        symbols=listed(symbols) if symbols is not None else None, ttl_hours=ttl_hours
    )
    made = on_the_bus(lambda connection: cache.pregenerate(connection, request))
    if json:
        show_json(made)
    else:
        cache.show_pregenerated(made, console())


@app.command()
def clear(symbols: OptionalSymbolList = None, json: Json = False) -> None:
    """Forget what is cached: it is computed anew.

    For example: evertrain cache clear --symbols AAPL
    """
    from evertrain import cache
    from evertrain.output import console, show_json
    from evertrain.session import on_the_bus
    from shared.contracts.requests import ClearCacheRequest

    request = ClearCacheRequest(symbols=listed(symbols) if symbols is not None else None)
    cleared = on_the_bus(lambda connection: cache.clear(connection, request))
    if json:
        show_json(cleared)
    else:
        console().print(f"{cleared.symbols} symbols are computed anew")
