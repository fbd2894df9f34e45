"""The symbols that are trained and predicted, asked and shown."""

from rich.console import Console

from evertrain.output import table
from shared.bus import rpc
from shared.bus.connection import Connection
from shared.contracts.records import Universe
from shared.contracts.requests import ChooseSymbolsRequest, UniverseRequest

_CHOSEN_BY = {
    "settings": "named by the settings",
    "provider": "what the provider offers",
    "people": "chosen by people, until the settings name others",
}


async def universe(connection: Connection) -> Universe:
    """Raises Unavailable: the scheduler does not answer."""
    return await rpc.ask(connection, "evertrain.scheduler.universe", UniverseRequest(), Universe)


async def choose(connection: Connection, request: ChooseSymbolsRequest) -> Universe:
    """Raises UnknownSymbol, InvalidSetting: what the scheduler says; Unavailable."""
    return await rpc.ask(connection, "evertrain.scheduler.choose", request, Universe)


def show_universe(universe: Universe, out: Console) -> None:
    out.print(table("Symbol", rows=((symbol,) for symbol in universe.symbols)))
    out.print(
        f"{len(universe.symbols)} symbols of {universe.timeframe} candles, "
        f"{_CHOSEN_BY[universe.chosen_by]}"
    )
