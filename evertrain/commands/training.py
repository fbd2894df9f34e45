"""`train`."""

import sys
from typing import Annotated

import typer

from evertrain.commands.parameters import listed
from shared.contracts.terms import Mode

app = typer.Typer()


@app.command(rich_help_panel="Use")
def train(
    mode: Annotated[Mode, typer.Option(help="How much to train.")],
    symbols: Annotated[
        str | None, typer.Option(metavar="A,B", help="Which.", show_default="all that are due")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Jobs at a time.", show_default="25")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the run to its end.")] = True,
) -> None:
    """Train now, and watch it.

    Exit code: 0 all succeeded, 1 some failed or were cancelled, 3 refused, because another run
    holds the training lock, or skipped, because nothing was due. Ctrl-C stops the watching, not the
    run.

    For example:

      evertrain train --mode quick

      evertrain train --mode full --symbols AAPL,MSFT --no-wait
    """
    from evertrain.session import on_the_bus
    from evertrain.training import Training

    named = listed(symbols) if symbols is not None else None
    training = Training(mode=mode, symbols=named, batch_size=batch_size, wait=wait)
    try:
        code = on_the_bus(training)
    except KeyboardInterrupt:
        print("\nThe run goes on: `evertrain monitor` shows it.", file=sys.stderr)
        raise typer.Exit(130) from None
    raise typer.Exit(code)
