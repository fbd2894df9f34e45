"""`auto-train` and `symbols`."""

from functools import partial
from typing import Annotated

import typer

from evertrain.commands.parameters import (
    Json,
    OptionalSymbolList,
    OptionalTimeframe,
    SymbolList,
    listed,
)
from shared.contracts.symbols import Symbol

app = typer.Typer(help="The automation: start, stop, status, configuration.", no_args_is_help=True)
symbols = typer.Typer(help="The symbols that are trained and predicted.", no_args_is_help=True)


@app.command()
def start(
    symbols: OptionalSymbolList = None,
    timeframe: OptionalTimeframe = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Begin with a quick run over all of them.")
    ] = False,
    json: Json = False,
) -> None:
    """Let the automation run, beginning at once. Where it runs already, nothing changes.

    For example:

      evertrain auto-train start --quick

      evertrain auto-train start --symbols AAPL,MSFT
    """
    from evertrain import automation
    from evertrain.session import answer
    from shared.contracts.requests import StartRequest

    request = StartRequest(
        symbols=listed(symbols) if symbols is not None else None,
        timeframe=timeframe,
        quick_start=quick,
        by="cli",
    )
    answer(
        lambda connection: automation.start(connection, request), automation.show_started, json=json
    )


@app.command()
def stop(json: Json = False) -> None:
    """Let the automation rest, and cancel the run in progress and those that wait.

    For example: evertrain auto-train stop
    """
    from evertrain import automation
    from evertrain.session import answer

    answer(automation.stop, automation.show_stopped, json=json)


@app.command()
def status(json: Json = False) -> None:
    """Show what trains now, what is next, and how fresh the models are.

    For example: evertrain auto-train status --json | jq .coverage
    """
    from evertrain import automation
    from evertrain.session import answer
    from shared.runtime.clock import utc_now

    answer(
        automation.status,
        lambda found, out: automation.show_status(found, out, utc_now()),
        json=json,
    )


@app.command()
def config(
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting. Can be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what training is configured to and how that changed, or change it, effective at once.

    For example:

      evertrain auto-train config

      evertrain auto-train config --set ml_train_per_cycle=100 --set train_epochs=300

      evertrain auto-train config --set "full_retrain_schedule=0 3 * * 6"
    """
    from evertrain import automation
    from evertrain.session import answer

    if assignments:
        errand = partial(automation.configure, changes=automation.assigned(assignments))
    else:
        errand = partial(automation.configuration)
    answer(errand, automation.show_configuration, json=json)


@symbols.command("list")
def list_symbols(json: Json = False) -> None:
    """List the symbols, and say who chose them.

    For example: evertrain symbols list
    """
    from evertrain import universe
    from evertrain.session import answer

    answer(universe.universe, universe.show_universe, json=json)


@symbols.command("set")
def set_symbols(symbols: SymbolList, json: Json = False) -> None:
    """Choose all of them: those that are left out are trained and served no more.

    Their candles and models stay.

    For example: evertrain symbols set BTC/USDT,ETH/USDT
    """
    _choose(symbols=listed(symbols), json=json)


@symbols.command()
def add(symbols: SymbolList, json: Json = False) -> None:
    """Add some. What was there before is back at once, with its candles and its model.

    For example: evertrain symbols add SOL/USDT
    """
    _choose(add=listed(symbols), json=json)


@symbols.command()
def remove(symbols: SymbolList, json: Json = False) -> None:
    """Remove some: they are trained and served no more. Their candles and models stay.

    For example: evertrain symbols remove SOL/USDT
    """
    _choose(remove=listed(symbols), json=json)


def _choose(
    *,
    symbols: tuple[Symbol, ...] | None = None,
    add: tuple[Symbol, ...] = (),
    remove: tuple[Symbol, ...] = (),
    json: bool,
) -> None:
    from evertrain import universe
    from evertrain.session import answer
    from shared.contracts.requests import ChooseSymbolsRequest

    request = ChooseSymbolsRequest(symbols=symbols, add=add, remove=remove)
    answer(
        lambda connection: universe.choose(connection, request), universe.show_universe, json=json
    )
