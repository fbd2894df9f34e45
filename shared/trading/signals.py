"""From a prediction to a decision: a signal, or why there is none."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.contracts.configuration import Configuration
from shared.contracts.records import Forecast, Prediction, Score
from shared.contracts.symbols import Symbol
from shared.contracts.terms import ENSEMBLE, Timeframe
from shared.contracts.trading import FilterResult, Rejection, Side, Signal, SignalParameters
from shared.trading.edge import proven_edge
from shared.trading.filters import Figures, filtered
from shared.trading.levels import Levels, expiry, levels, nearest, net_profit_pct, side_of
from shared.trading.leverage import leverage, most_leverage


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is known of a symbol when it is asked whether to trade it: its newest prediction, or in
    `note` why there is none, and how its live model did on candles that it had not seen.
    """

    symbol: Symbol
    timeframe: Timeframe
    prediction: Prediction | None = None
    scores: tuple[Score, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is traded already: the open signal of the symbol, its last one that ended, and how large
    the positions of all open signals are together.
    """

    open: Signal | None = None
    ended: Signal | None = None
    gross_cents: int = 0


def decide(
    outlook: Outlook,
    standing: Standing,
    parameters: SignalParameters,
    rules: Configuration,
    now: datetime,
) -> Signal | Rejection:
    """The signal that the newest prediction gives, or the reason why it gives none.

    The horizon is the one nearest to `parameters.holding` that the model has.

    The `id` follows from what was decided on: a signal's from symbol and candle, of which there is
    one at most, and a rejection's from symbol, candle, model version and reason. A symbol without a
    prediction is judged once per candle of the clock.
    """
    forecast = _forecast(outlook.prediction, parameters)
    score = _score(outlook.scores, forecast)
    offer = _offer(outlook.prediction, forecast, score, parameters, rules)
    figures = Figures(
        predicted=outlook.prediction is not None,
        stale=outlook.prediction is None or outlook.prediction.stale,
        accuracy=score.accuracy if score else None,
        confidence=forecast.confidence if forecast else None,
        net_profit_pct=offer.net_profit_pct if offer else None,
        most_leverage=most_leverage(offer.atr_pct, parameters, rules) if offer else None,
        exposure_pct=_exposure_pct(standing.gross_cents, offer, rules) if offer else None,
        candles_since=_candles_since(standing.ended, outlook, now),
        already_open=_is_taken(standing, outlook),
    )
    results = filtered(figures, parameters, rules)
    refused = next((result.name for result in results if not result.passed), None)
    if refused is not None:
        return _rejection(outlook, forecast, offer, results, refused, now)
    assert offer is not None  # or its net profit would be unknown
    return _signal(offer, parameters, results, rules, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """What would be traded if every filter lets it. `net_profit_pct` is None where the take-profit
    is not a price.
    """

    prediction: Prediction
    forecast: Forecast
    side: Side
    levels: Levels
    atr_pct: float
    net_profit_pct: float | None
    leverage: float
    stake_cents: int


def _offer(
    prediction: Prediction | None,
    forecast: Forecast | None,
    score: Score | None,
    parameters: SignalParameters,
    rules: Configuration,
) -> _Offer | None:
    """None where the prediction does not say what the price is, or that it moves at all."""
    if not (prediction and forecast and prediction.close and prediction.atr_pct):
        return None
    side = side_of(forecast.direction)
    at = levels(side, prediction.close, prediction.atr_pct, parameters)
    edge = proven_edge(forecast.p_up, score) if score else 0.0
    return _Offer(
        prediction=prediction,
        forecast=forecast,
        side=side,
        levels=at,
        atr_pct=prediction.atr_pct,
        net_profit_pct=(
            net_profit_pct(side, at.entry, at.take_profit, rules) if at.take_profit > 0.0 else None
        ),
        leverage=leverage(edge, prediction.atr_pct, parameters, forecast.horizon, rules),
        stake_cents=round(rules.paper_capital * rules.stake_pct),
    )


def _forecast(prediction: Prediction | None, parameters: SignalParameters) -> Forecast | None:
    if prediction is None or not prediction.predictions:
        return None
    by_horizon = {forecast.horizon: forecast for forecast in prediction.predictions}
    return by_horizon[nearest(parameters.holding, by_horizon)]


def _score(scores: tuple[Score, ...], forecast: Forecast | None) -> Score | None:
    """That of what is served, at the horizon of the forecast."""
    if forecast is None:
        return None
    wanted = (ENSEMBLE, forecast.horizon)
    return next((score for score in scores if (score.learner, score.horizon) == wanted), None)


def _exposure_pct(gross_cents: int, offer: _Offer, rules: Configuration) -> float:
    """How much would be open, in percent of the paper capital, which is in whole units."""
    return (gross_cents + round(offer.stake_cents * offer.leverage)) / rules.paper_capital


def _candles_since(ended: Signal | None, outlook: Outlook, now: datetime) -> int | None:
    """How many candles opened since the last signal ended, and have closed."""
    if ended is None or ended.outcome is None:
        return None
    closed_at = _candle_at(outlook, now).timestamp() + outlook.timeframe.seconds
    since_s = closed_at - ended.outcome.exit_at.timestamp()
    return max(int(since_s // outlook.timeframe.seconds), 0)


def _is_taken(standing: Standing, outlook: Outlook) -> bool:
    """Whether a signal is open, or has come of this candle or a later one before."""
    if standing.open is not None:
        return True
    if standing.ended is None or outlook.prediction is None:
        return False
    return outlook.prediction.candle_at <= standing.ended.candle_at


def _candle_at(outlook: Outlook, now: datetime) -> datetime:
    """The candle that is judged: the newest predicted, or else the one that the clock is in."""
    if outlook.prediction is not None:
        return outlook.prediction.candle_at
    seconds = outlook.timeframe.seconds
    return datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)


def _signal(
    offer: _Offer,
    parameters: SignalParameters,
    results: tuple[FilterResult, ...],
    rules: Configuration,
    now: datetime,
) -> Signal:
    prediction, forecast, at = offer.prediction, offer.forecast, offer.levels
    assert offer.net_profit_pct is not None
    return Signal(
        id=_name(prediction.symbol, prediction.candle_at),
        symbol=prediction.symbol,
        timeframe=prediction.timeframe,
        side=offer.side,
        candle_at=prediction.candle_at,
        opened_at=now,
        expires_at=expiry(prediction.candle_at, prediction.timeframe, forecast.horizon),
        entry=at.entry,
        take_profit=at.take_profit,
        stop_loss=at.stop_loss,
        leverage=offer.leverage,
        stake_cents=offer.stake_cents,
        confidence=forecast.confidence,
        horizon=forecast.horizon,
        net_profit_pct=offer.net_profit_pct,
        fee_pct=rules.fee_pct,
        slippage_pct=rules.slippage_pct,
        funding_pct_per_day=rules.funding_pct_per_day,
        atr_pct=offer.atr_pct,
        model_version=prediction.model_version,
        parameters=parameters,
        filters=results,
    )


def _rejection(
    outlook: Outlook,
    forecast: Forecast | None,
    offer: _Offer | None,
    results: tuple[FilterResult, ...],
    reason: str,
    now: datetime,
) -> Rejection:
    candle_at, prediction = _candle_at(outlook, now), outlook.prediction
    version = f".{prediction.model_version}" if prediction else ""
    return Rejection(
        id=f"{_name(outlook.symbol, candle_at)}{version}.{reason}",
        symbol=outlook.symbol,
        timeframe=outlook.timeframe,
        at=now,
        reason=reason,
        filters=results,
        metadata=_metadata(outlook, forecast, offer) | {"candle_at": _written(candle_at)},
    )


def _metadata(outlook: Outlook, forecast: Forecast | None, offer: _Offer | None) -> dict[str, Any]:
    """What was judged, as far as it is known."""
    known: dict[str, Any] = {}
    if outlook.note:
        known["note"] = outlook.note
    if prediction := outlook.prediction:
        known["model_version"] = prediction.model_version
        if prediction.stale_reason:
            known["stale_reason"] = prediction.stale_reason
    if forecast:
        known |= {"horizon": forecast.horizon, "p_up": forecast.p_up}
    if offer:
        at = offer.levels
        known |= {
            "side": str(offer.side),
            "entry": at.entry,
            "take_profit": at.take_profit,
            "stop_loss": at.stop_loss,
            "atr_pct": offer.atr_pct,
            "leverage": offer.leverage,
        }
    return known


def _name(symbol: Symbol, candle_at: datetime) -> str:
    """A name that is a part of a subject, a key and an address, and holds the symbol's token as a
    part of its own.
    """
    return f"{symbol.token}.{candle_at:%Y%m%dT%H%M%SZ}"


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
