"""`up` and the services."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command(rich_help_panel="Run")
def up(
    demo: Annotated[
        bool, typer.Option("--demo", help="Replay real bundled market data, faster than life.")
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where everything is kept.", show_default="DATA_DIR")
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="Where the gateway listens.", show_default="GATEWAY_HOST or 127.0.0.1"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Its port.", show_default="GATEWAY_PORT or 8000", min=1, max=65535),
    ] = None,
) -> None:
    """Run everything on this machine: NATS and the four services.

    A process that dies is started again. Ctrl-C stops all of it; a second one hurries.

    For example:

      evertrain up --demo

      DATA_PROVIDER=synthetic evertrain up --data-dir ./data --port 8001
    """
    import os

    from evertrain.configuration import SERVICES, check_settings, chosen
    from shared.runtime.settings import environment

    env = environment()
    settings = chosen(env, demo=demo, data_dir=data_dir, host=host, port=port)
    for service in SERVICES:
        check_settings(service, env.over(settings))
    os.environ.update(settings)
    _become("evertrain.up")


@app.command(rich_help_panel="Run")
def scheduler() -> None:
    """Run the scheduler alone: it decides what is due, and keeps the candles up to date.

    For example:

      NATS_URL=nats://nats:4222 DATA_PROVIDER=ccxt:binance evertrain scheduler
    """
    _become("services.scheduler")


@app.command(rich_help_panel="Run")
def trainer() -> None:
    """Run one trainer alone: it turns requests into models. Add machines by running more.

    For example: NATS_URL=nats://nats:4222 TRAINER_PROCESSES=4 evertrain trainer
    """
    _become("services.trainer")


@app.command(rich_help_panel="Run")
def predictor() -> None:
    """Run one predictor alone: it answers with the newest prediction it can defend.

    For example: NATS_URL=nats://nats:4222 evertrain predictor
    """
    _become("services.predictor")


@app.command(rich_help_panel="Run")
def gateway() -> None:
    """Run one gateway alone: HTTP, websocket and dashboard.

    For example: NATS_URL=nats://nats:4222 GATEWAY_PORT=8001 evertrain gateway
    """
    _become("services.gateway")


def _become(module: str) -> None:
    """Run the module in place of this process: it needs nothing of what a command line needs.

    -P: a folder called `services` where the user stands is not ours.
    """
    import os
    import sys

    os.execv(sys.executable, [sys.executable, "-P", "-m", module])  # noqa: S606
