"""What the predictor answers, for people."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console

from evertrain.output import age, moment, percent, score, table
from shared.bus import rpc
from shared.bus.connection import Connection
from shared.contracts.records import Prediction, Ranked
from shared.contracts.requests import PredictRequest, TopRequest
from shared.contracts.terms import LEARNERS


async def predict(connection: Connection, question: PredictRequest) -> Prediction:
    """Raises UnknownSymbol, UnknownHorizon, NotReady: what the predictor says; Unavailable."""
    return await rpc.ask(connection, "evertrain.predictor.get", question, Prediction)


async def top(connection: Connection, question: TopRequest) -> list[Ranked]:
    """Raises Unavailable: the predictor does not answer."""
    return await rpc.ask(connection, "evertrain.predictor.top", question, list[Ranked])


def show_prediction(prediction: Prediction, out: Console, now: datetime) -> None:
    out.print(
        f"{prediction.symbol} {prediction.timeframe}, from the candle of "
        f"{moment(prediction.candle_at)}, model {prediction.model_version}, "
        f"{age(prediction.generated_at, now)} old"
    )
    if prediction.stale:
        out.print(f"stale: {prediction.stale_reason or 'a newer one could not be computed'}")
    used = [name for name in LEARNERS if any(name in f.by_learner for f in prediction.predictions)]
    columns = ("Horizon", "Direction", "Confidence", "P(up)", "Expected", "80 % between", *used)
    rows = (
        (
            forecast.horizon,
            forecast.direction,
            score(forecast.confidence),
            score(forecast.p_up),
            percent(forecast.expected_return_pct, sign=True),
            " and ".join(percent(edge, sign=True) for edge in forecast.interval_pct),
            *(score(forecast.by_learner.get(name)) for name in used),
        )
        for forecast in prediction.predictions
    )
    out.print(table(*columns, rows=rows, numbers={*columns} - {"Direction"}))


def show_top(ranking: Sequence[Ranked], out: Console) -> None:
    if not ranking:
        out.print("no predictions yet: `evertrain models list` shows what is trained")
        return
    columns = (
        "Symbol", "Horizon", "Direction", "Confidence", "Expected", "Candle", "Model", "Stale",
    )  # fmt: skip
    rows = (
        (
            line.symbol,
            line.forecast.horizon,
            line.forecast.direction,
            score(line.forecast.confidence),
            percent(line.forecast.expected_return_pct, sign=True),
            moment(line.candle_at),
            line.model_version,
            "stale" if line.stale else "",
        )
        for line in ranking
    )
    out.print(table(*columns, rows=rows, numbers=("Horizon", "Confidence", "Expected")))
