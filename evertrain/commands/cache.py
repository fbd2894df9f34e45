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
    from evertrain.session import answer
    from shared.runtime.clock import utc_now

    answer(cache.info, lambda found, out: cache.show_info(found, out, utc_now()), json=json)


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
    from evertrain.session import answer
    from shared.contracts.requests import PregenerateRequest

    request = PregenerateRequest(
        symbols=listed(symbols) if symbols is not None else None, ttl_hours=ttl_hours
    )
    answer(
        lambda connection: cache.pregenerate(connection, request),
        cache.show_pregenerated,
        json=json,
    )


@app.command()
def clear(symbols: OptionalSymbolList = None, json: Json = False) -> None:
    """Forget what is cached: it is computed anew.

    For example: evertrain cache clear --symbols AAPL
    """
    from evertrain import cache
    from evertrain.session import answer
    from shared.contracts.requests import ClearCacheRequest

    request = ClearCacheRequest(symbols=listed(symbols) if symbols is not None else None)
    answer(lambda connection: cache.clear(connection, request), cache.show_cleared, json=json)
