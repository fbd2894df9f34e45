"""Predictions to decide on, and what is known beside them."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

from shared.bus.connection import Connection
from shared.bus.consumer import lying_in
from shared.contracts import codec, subjects
from shared.contracts.configuration import Configuration
from shared.contracts.errors import AppError
from shared.contracts.events import Event, SignalOpened, SignalRejected
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


@dataclass(kw_only=True)
class FakeMarket:
    """Each symbol has an outlook, in the order in which they were given; `asked` are the symbols
    that someone wanted to know about.
    """

    outlooks: dict[Symbol, Outlook] = field(default_factory=dict)
    asked: list[Symbol] = field(default_factory=list)

    def shows(self, *outlooks: Outlook) -> None:
        self.outlooks |= {one.symbol: one for one in outlooks}

    def covered(self) -> tuple[Symbol, ...]:
        return tuple(self.outlooks)

    async def outlook(self, symbol: Symbol) -> Outlook:
        self.asked.append(symbol)
        return self.outlooks[symbol]


@dataclass(kw_only=True)
class FakeAnnouncements:
    """A stream of events that several predictors share: each has one of these, over the same
    `stream`. `broken` is raised instead of telling.
    """

    stream: list[Event] = field(default_factory=list)
    broken: AppError | None = None
    asked: int = 0
    _known: set[str] = field(default_factory=set)

    def knows(self, fact: Event) -> bool:
        return fact.id in self._known

    async def tell(self, fact: Event) -> None:
        if self.knows(fact):
            return
        self.asked += 1
        await asyncio.sleep(0.001)
        if self.broken:
            raise self.broken
        if fact.id not in {told.id for told in self.stream}:
            self.stream.append(fact)
        self._known.add(fact.id)


SignalFact = SignalOpened | SignalRejected


async def told_of_signals(connection: Connection) -> list[SignalFact]:
    """What was decided, as the stream of events has it, oldest first."""
    lying = lying_in(connection, subjects.EVENTS, "evertrain.event.signal.>")
    facts = [codec.decode_event(delivery.data) async for delivery in lying]
    return [fact for fact in facts if isinstance(fact, SignalFact)]
