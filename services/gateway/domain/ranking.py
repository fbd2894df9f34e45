"""The best forecasts of the moment."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, Literal

from shared.contracts.records import Forecast, Prediction, Ranked
from shared.contracts.terms import Horizon

Sort = Literal["confidence", "expected_return"]

_ORDERS: Final[dict[Sort, Callable[[Forecast], float]]] = {
    "confidence": lambda forecast: forecast.confidence,
    "expected_return": lambda forecast: forecast.expected_return_pct,
}


def top(
    predictions: Iterable[Prediction],
    *,
    n: int,
    horizon: Horizon | None,
    sort: Sort,
    now: datetime,
    away: bool,
) -> list[Ranked]:
    """The `n` best symbols, each with its best forecast under `sort`; ties by symbol.

    With `horizon`, only forecasts that many candles ahead count. `away`: nobody could tell us of
    newer predictions, so none can be called fresh.
    """
    order = _ORDERS[sort]
    best = []
    for prediction in predictions:
        candidates = [f for f in prediction.predictions if horizon in (None, f.horizon)]
        if candidates:
            stale = away or prediction.stale or prediction.expires_at <= now
            best.append(_ranked(prediction, max(candidates, key=order), stale=stale))
    best.sort(key=lambda ranked: (-order(ranked.forecast), ranked.symbol))
    return best[:n]


def _ranked(prediction: Prediction, forecast: Forecast, *, stale: bool) -> Ranked:
    return Ranked(
        symbol=prediction.symbol,
        forecast=forecast,
        model_version=prediction.model_version,
        candle_at=prediction.candle_at,
        stale=stale,
    )
