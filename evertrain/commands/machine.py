"""`doctor` and `nats url`."""

import typer

from evertrain.commands.parameters import Json

app = typer.Typer()
nats = typer.Typer(help="For the NATS command line.", no_args_is_help=True)
app.add_typer(nats, name="nats", rich_help_panel="Machine")


@app.command(rich_help_panel="Machine")
def doctor(json: Json = False) -> None:
    """Check this machine and its settings, and say what to mend.

    Exit code: 0 all well, 1 with warnings, 2 with errors.

    For example: evertrain doctor
    """
    import asyncio

    from evertrain.doctor import EXITS, examine, show_checks, worst
    from evertrain.output import console, show_json
    from shared.runtime.settings import environment

    checks = asyncio.run(examine(environment()))
    if json:
        show_json(checks)
    else:
        show_checks(checks, console())
    raise typer.Exit(EXITS[worst(checks)])


@nats.command()
def url() -> None:
    """Print the server's address with its credentials, for the `nats` command.

    For example: nats --server "$(evertrain nats url)" sub 'evertrain.event.>'
    """
    from evertrain.session import address
    from shared.runtime.settings import environment

    print(address(environment()))
