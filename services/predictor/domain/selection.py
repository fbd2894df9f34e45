"""The part of what is known that was asked for."""

from collections.abc import Iterable
from dataclasses import replace

from shared.contracts.errors import UnknownHorizon
from shared.contracts.records import Forecast, Prediction, Ranked
from shared.contracts.requests import TopRequest
from shared.contracts.terms import Horizon


def narrowed(prediction: Prediction, horizon: Horizon | None) -> Prediction:
    """The prediction with this horizon alone, or whole if none is asked for.

    Raises:
        UnknownHorizon: the model does not forecast that far; it says which horizons there are.
    """
    if horizon is None:
        return prediction
    chosen = tuple(each for each in prediction.predictions if each.horizon == horizon)
    if not chosen:
        raise _unknown(horizon, prediction.predictions, str(prediction.symbol))
    return replace(prediction, predictions=chosen)


def ranked(predictions: Iterable[Prediction], asked: TopRequest) -> list[Ranked]:
    """One line per symbol, the highest first: its forecast over the asked horizon, or else its
    best one. By confidence in either direction, or by expected return, so that falls come last.
    Equal ones stand in the order of their symbols.

    Raises:
        UnknownHorizon: there are predictions, but none for that horizon.
    """
    known = list(predictions)
    lines = [
        Ranked(
            symbol=prediction.symbol,
            forecast=max(forecasts, key=lambda each: _merit(each, asked)),
            model_version=prediction.model_version,
            candle_at=prediction.candle_at,
            stale=prediction.stale,
        )
        for prediction in known
        if (forecasts := _over(prediction, asked.horizon))
    ]
    if known and not lines and asked.horizon is not None:
        every = [each for prediction in known for each in prediction.predictions]
        raise _unknown(asked.horizon, every, "every symbol")
    return sorted(lines, key=lambda line: (-_merit(line.forecast, asked), line.symbol))[: asked.n]


def _over(prediction: Prediction, horizon: Horizon | None) -> list[Forecast]:
    return [each for each in prediction.predictions if horizon in (None, each.horizon)]


def _merit(forecast: Forecast, asked: TopRequest) -> float:
    if asked.sort == "expected_return":
        return forecast.expected_return_pct
    return forecast.confidence


def _unknown(horizon: Horizon, there: Iterable[Forecast], whose: str) -> UnknownHorizon:
    horizons = ", ".join(map(str, sorted({each.horizon for each in there})))
    return UnknownHorizon(
        f"there is no forecast {horizon} candles ahead; for {whose} there are {horizons}"
    )
