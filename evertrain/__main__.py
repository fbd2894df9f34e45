"""The `evertrain` command. What a command needs is imported when it runs, so that help is quick."""

import sys

import typer

from evertrain.commands import processes
from shared.contracts.errors import AppError

app = typer.Typer(
    help="Keeps a forecasting model fresh for every symbol, and nobody notices the training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(processes.app)


def main() -> None:
    """Exits 2, with one line that says what to do, when something must be mended first."""
    try:
        app()
    except AppError as exc:
        sys.exit(_refused(exc))


def _refused(reason: AppError) -> int:
    print(f"evertrain: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
