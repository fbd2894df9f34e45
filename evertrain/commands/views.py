"""`monitor`, `predict`, `top` and `models`."""

from contextlib import suppress
from typing import Annotated

import typer

from evertrain.commands.parameters import Json, OneHorizon, OneSymbol

app = typer.Typer()
models = typer.Typer(help="The models: live, earlier, old.", no_args_is_help=True)
app.add_typer(models, name="models", rich_help_panel="Use")


@app.command(rich_help_panel="Use")
def monitor(
    once: Annotated[bool, typer.Option("--once", help="Print once and leave.")] = False,
    json: Json = False,
) -> None:
    """Watch services, training, models, cache and machine, with whatever needs attention.

    `--once`, and `--json`, which implies it, exit 0 healthy, 1 with warnings, 2 with errors.

    For example:

      evertrain monitor

      evertrain monitor --once --json | jq .health
    """
    from evertrain import monitor as watching
    from evertrain.output import console, show_json
    from evertrain.session import on_the_bus
    from shared.runtime.settings import environment

    data_dir, out = environment().data_dir(), console()
    if not (once or json):
        with suppress(KeyboardInterrupt):
            on_the_bus(lambda connection: watching.live(connection, data_dir, out))
        return
    status = on_the_bus(lambda connection: watching.once(connection, data_dir))
    if json:
        show_json(status)
    else:
        out.print(watching.screenful(status, data_dir))
    raise typer.Exit(watching.EXITS[status.health.level])


@app.command(rich_help_panel="Use")
def predict(symbol: OneSymbol, horizon: OneHorizon = None, json: Json = False) -> None:
    """Show the newest prediction of one symbol.

    For example:

      evertrain predict AAPL

      evertrain predict BTC/USDT --horizon 7 --json
    """
    from evertrain import predictions
    from evertrain.session import answer
    from shared.contracts.requests import PredictRequest
    from shared.runtime.clock import utc_now

    question = PredictRequest(symbol=symbol, horizon=horizon)
    answer(
        lambda connection: predictions.predict(connection, question),
        lambda found, out: predictions.show_prediction(found, out, utc_now()),
        json=json,
    )


@app.command(rich_help_panel="Use")
def top(
    n: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many.")] = 20,
    horizon: OneHorizon = None,
    json: Json = False,
) -> None:
    """Rank the symbols by the confidence of their best prediction.

    For example:

      evertrain top

      evertrain top -n 5 --horizon 7
    """
    from evertrain import predictions
    from evertrain.session import answer
    from shared.contracts.requests import TopRequest

    question = TopRequest(n=n, horizon=horizon)
    answer(
        lambda connection: predictions.top(connection, question), predictions.show_top, json=json
    )


@models.command("list")
def list_models(json: Json = False) -> None:
    """List every live model with its age and its score.

    For example: evertrain models list
    """
    from evertrain import models as registry
    from evertrain.session import answer
    from shared.runtime.clock import utc_now

    answer(
        registry.live_models,
        lambda found, out: registry.show_models(found, out, utc_now()),
        json=json,
    )


@models.command("show")
def show_model(symbol: OneSymbol, json: Json = False) -> None:
    """Show one model: where it came from, and how each learner did on each horizon.

    For example: evertrain models show AAPL
    """
    from evertrain import models as registry
    from evertrain.output import console, show_json
    from evertrain.session import on_the_bus
    from shared.runtime.clock import utc_now

    model, scorecard = on_the_bus(lambda connection: registry.look_up(connection, symbol))
    if json:
        show_json(model)
    else:
        registry.show_model(model, console(), utc_now())
        registry.show_tracks(scorecard, console())


@models.command()
def rollback(
    symbol: OneSymbol,
    version: Annotated[
        str | None,
        typer.Option(help="Which one.", show_default="the one before the live one"),
    ] = None,
    json: Json = False,
) -> None:
    """Let an earlier model live again, at once; a second time goes one further back.

    Predictions of the other model are gone from then on. It is no pin: the next training of the
    symbol starts from this model and is compared with it. Exit code 3: the symbol is being trained.

    For example:

      evertrain models rollback AAPL

      evertrain models rollback AAPL --version 20261120T120010-9f86d081
    """
    from evertrain import models as registry
    from evertrain.session import answer
    from shared.contracts.requests import RollbackRequest

    request = RollbackRequest(symbol=symbol, version=version, by="cli")
    answer(
        lambda connection: registry.roll_back(connection, request),
        registry.show_rolled_back,
        json=json,
    )


@models.command()
def cleanup(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")] = False,
    json: Json = False,
) -> None:
    """Delete the files of models that nothing needs: neither among the newest nor young.

    MAX_MODELS_PER_SYMBOL and MAX_AGE_DAYS of the trainers say what stays; what lives always does.

    For example: evertrain models cleanup --dry-run
    """
    from evertrain import models as registry
    from evertrain.session import answer
    from shared.contracts.requests import CleanupRequest

    request = CleanupRequest(dry_run=dry_run)
    answer(
        lambda connection: registry.clean_up(connection, request), registry.show_cleanup, json=json
    )
