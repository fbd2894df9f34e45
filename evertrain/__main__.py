"""The `evertrain` command. What a command needs is imported when it runs, so that help is quick."""

import sys

import typer

from evertrain.commands import (
    automation,
    cache,
    candles,
    machine,
    processes,
    simulation,
    trading,
    training,
    views,
)
from evertrain.exits import refused
from shared.contracts.errors import AppError

app = typer.Typer(
    help="Keeps a forecasting model fresh for every symbol, and nobody notices the training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(processes.app)
app.add_typer(training.app)
app.add_typer(automation.app, name="auto-train", rich_help_panel="Use")
app.add_typer(automation.symbols, name="symbols", rich_help_panel="Use")
app.add_typer(views.app)
app.add_typer(cache.app, name="cache", rich_help_panel="Use")
app.add_typer(trading.app)
app.add_typer(candles.app, name="candles", rich_help_panel="Use")
app.add_typer(simulation.app)
app.add_typer(machine.app)


def main() -> None:
    """Exits 2, or 3 when others are training, with one line that says what to do."""
    try:
        app()
    except* AppError as group:
        sys.exit(refused(group))


if __name__ == "__main__":
    main()
