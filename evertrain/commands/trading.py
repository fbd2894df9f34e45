"""`signals`, `rejected`, `pnl`, `exposure` and `drift`."""

from typing import Annotated

import typer

from evertrain.commands.parameters import Json, OptionalSymbol, OptionalSymbolList, listed
from shared.contracts.trading import FilterName

app = typer.Typer()

Shown = Annotated[int, typer.Option("-n", min=1, max=1000, help="How many.")]


@app.command(rich_help_panel="Trade on paper")
def signals(
    symbol: OptionalSymbol = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only those that are open.")] = False,
    n: Shown = 20,
    json: Json = False,
) -> None:
    """Show the newest signals: where to enter and leave, and what became of them.

    For example:

      evertrain signals --open

      evertrain signals --symbol BTC/USDT --json
    """
    from evertrain import trading
    from evertrain.session import answer
    from shared.contracts.requests import SignalsRequest

    question = SignalsRequest(symbol=symbol, status="open" if only_open else None, limit=n)
    answer(
        lambda connection: trading.signals(connection, question), trading.show_signals, json=json
    )


@app.command(rich_help_panel="Trade on paper")
def rejected(
    hours: Annotated[float, typer.Option(min=0.01, max=720, help="How far back.")] = 24.0,
    symbol: OptionalSymbol = None,
    reason: Annotated[
        FilterName | None, typer.Option(help="The filter.", show_default="all")
    ] = None,
    n: Shown = 100,
    json: Json = False,
) -> None:
    """Show which predictions became no signal, and which filter stood in the way.

    For example:

      evertrain rejected --hours 6

      evertrain rejected --reason confidence --json | jq '.[].filters'
    """
    from evertrain import trading
    from evertrain.session import answer
    from shared.contracts.requests import RejectionsRequest

    question = RejectionsRequest(hours=hours, symbol=symbol, reason=reason, limit=n)
    answer(
        lambda connection: trading.rejected(connection, question), trading.show_rejected, json=json
    )


@app.command(rich_help_panel="Trade on paper")
def pnl(
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="How far back.", show_default="all time")
    ] = None,
    json: Json = False,
) -> None:
    """Show what the signals would have earned after all costs, by symbol and by day.

    `--json` counts money in whole cents.

    For example: evertrain pnl --days 30
    """
    from evertrain import trading
    from evertrain.session import answer
    from shared.contracts.requests import ProfitRequest

    answer(
        lambda connection: trading.profit(connection, ProfitRequest(days=days)),
        trading.show_profit,
        json=json,
    )


@app.command(rich_help_panel="Trade on paper")
def exposure(json: Json = False) -> None:
    """Show what is open, by symbol and side, against what may be.

    For example: evertrain exposure --json | jq .net_cents
    """
    from evertrain import trading
    from evertrain.session import answer

    answer(trading.exposure, trading.show_exposure, json=json)


@app.command(rich_help_panel="Use")
def drift(
    check: Annotated[bool, typer.Option("--check", help="Look now, and wait for it.")] = False,
    symbols: OptionalSymbolList = None,
    json: Json = False,
) -> None:
    """Show whether the market still is what the models have learned; `--check` looks now.

    `--symbols` limits what is shown, or looked at.

    For example:

      evertrain drift

      evertrain drift --check --symbols AAPL,MSFT
    """
    from evertrain import drift as watching
    from evertrain.output import console, show_json
    from evertrain.session import on_the_bus
    from shared.contracts.requests import CheckDriftRequest

    named = listed(symbols) if symbols is not None else None
    if check:
        request = CheckDriftRequest(symbols=named)
        report = on_the_bus(lambda connection: watching.check(connection, request))
    else:
        report = watching.limited(on_the_bus(watching.newest), named)
    if json:
        show_json(report)
    else:
        watching.show_report(report, console())
