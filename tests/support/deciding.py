"""Predictions to decide on, and what is known beside them."""

from dataclasses import replace
from datetime import timedelta

from shared.contracts.configuration import Configuration
from shared.contracts.records import Prediction, Score
from shared.contracts.symbols import Symbol
from shared.contracts.terms import ENSEMBLE, Horizon, Timeframe
from shared.contracts.trading import Exit, Outcome, Signal, SignalParameters
from shared.trading.signals import Outlook, Standing, decide
from tests.support.models import made_up_score
from tests.support.predicting import BTC, START, forecast, prediction

M15 = timedelta(minutes=15)
RULES = Configuration()
PARAMETERS = SignalParameters()


def score(horizon: Horizon = 7, *, accuracy: float = 0.65) -> Score:
    """Of an ensemble that beyond doubt foretells something."""
    return replace(
        made_up_score(horizon=horizon),
        learner=ENSEMBLE,
        accuracy=accuracy,
        roc_auc=0.72,
        roc_auc_interval=(0.70, 0.74),
        roc_auc_null_high=0.51,
        slope=1.0,
        slope_error=0.05,
    )


def priced(
    symbol: Symbol = BTC, *, p_up: float = 0.7, candle: int = 0, version: str = "v1"
) -> Prediction:
    """Of two horizons, at a close of 100 that moves by 2 % a candle, so many candles from START."""
    made = prediction(
        symbol,
        forecast(1, p_up=0.5),
        forecast(7, p_up=p_up),
        version=version,
        candle_at=START + candle * M15,
    )
    return replace(made, close=100.0, atr_pct=2.0)


def outlook(made: Prediction | None = None, *, accuracy: float = 0.65) -> Outlook:
    """Everything that a signal needs."""
    made = made or priced()
    return Outlook(
        symbol=made.symbol,
        timeframe=Timeframe.M15,
        prediction=made,
        scores=(score(1), score(7, accuracy=accuracy)),
    )


def opened(symbol: Symbol = BTC, *, candle: int = 0) -> Signal:
    """The signal of `priced`."""
    made = outlook(priced(symbol, candle=candle))
    signal = decide(made, Standing(), PARAMETERS, RULES, START + (candle + 1) * M15)
    assert isinstance(signal, Signal)
    return signal


def ended(signal: Signal, *, candles: int) -> Signal:
    """So many candles behind its own, at the end of the last."""
    exit_at = signal.candle_at + (candles + 1) * M15
    return replace(signal, outcome=Outcome(exit=Exit.EXPIRY, exit_at=exit_at))
