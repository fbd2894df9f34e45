"""`simulate`."""

from pathlib import Path
from typing import Annotated

import typer

from evertrain.commands.parameters import Json

app = typer.Typer()
Seconds = Annotated[float | None, typer.Option(min=0.01, show_default="measured, or assumed")]


@app.command(rich_help_panel="Machine")
def simulate(
    days: Annotated[int, typer.Option(min=1, max=3660, help="How long.")] = 30,
    symbols: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 545,
    processes: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Jobs at once.", show_default="cores")
    ] = None,
    job_seconds: Seconds = None,
    update_seconds: Seconds = None,
    failure_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of the jobs.")] = 0.0,
    seed: Annotated[int, typer.Option(help="The same gives the same.")] = 1,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it, as SVG.")] = None,
    json: Json = False,
) -> None:
    """Show what the schedules come to in virtual time: what runs when, and how old models get.

    The rules are the scheduler's own, with the settings of this environment and the continuous
    cycle switched on. Job times are those of the jobs that ran here, or else assumed: those of
    17,000 candles in docs/performance.md. A year takes some seconds.

    For example:

      evertrain simulate --days 365 --processes 2 --plot year.svg

      evertrain simulate --days 30 --symbols 2000 --job-seconds 20
    """
    from dataclasses import replace

    from evertrain import simulation
    from evertrain.output import console, show_json
    from evertrain.picture import picture
    from services.scheduler.settings import first_configuration
    from shared.runtime.settings import environment

    env = environment()
    configuration = first_configuration(env)
    given = simulation.Assumptions(
        days=days,
        symbols=symbols,
        processes=processes or simulation.processes(),
        failure_rate=failure_rate,
        seed=seed,
        times=simulation.job_times(env.data_dir(), job_seconds, update_seconds),
    )
    outcome = simulation.simulate(given, replace(configuration, enabled=True))
    if plot is not None:
        try:
            plot.write_text(picture(outcome))
        except OSError as exc:
            raise typer.BadParameter(f"{plot} cannot be written: {exc.strerror}") from exc
    if json:
        show_json(outcome)
    else:
        simulation.show(given, outcome, console())
