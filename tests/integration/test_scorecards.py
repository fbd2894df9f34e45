import asyncio
from datetime import timedelta

from services.predictor.handlers.outcomes import NotedPredictions
from shared.bus.connection import Connection
from shared.bus.quality import Scorecards
from shared.contracts.records import Prediction
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle, pack
from shared.runtime.clock import to_ms
from tests.support.predicting import BTC, START, forecast, prediction

STEP = timedelta(minutes=15)
CANDLES = 40


class Market:
    """The store of one predictor; each candle closes higher than the one before."""

    def __init__(self) -> None:
        self.rows = 0

    async def tail(self, symbol: Symbol, timeframe: Timeframe, rows: int) -> bytes:
        return pack(
            Candle(to_ms(START + n * STEP), 100.0 + n, 101.5 + n, 99.5 + n, 101.0 + n, 9.0)
            for n in range(max(self.rows - rows, 0), self.rows)
        )


class Nobody:
    async def publish(self, prediction: Prediction) -> Prediction:
        return prediction


async def test_two_predictors_at_once_score_everything_once(connection: Connection) -> None:
    async def predict() -> None:
        market = Market()
        noted = NotedPredictions(Nobody(), Scorecards(connection), market)
        for n in range(CANDLES):
            market.rows = n + 1
            both = forecast(1, p_up=0.8), forecast(3, p_up=0.2)
            await noted.publish(prediction(BTC, *both, candle_at=START + n * STEP))

    async with asyncio.TaskGroup() as predictors:
        for _ in range(2):
            predictors.create_task(predict())
    card = await Scorecards(connection).find(BTC)
    assert [(track.horizon, track.forecasts, track.hits) for track in card.tracks] == [
        (1, CANDLES - 1, CANDLES - 1),
        (3, CANDLES - 3, 0),
    ]
    assert len(card.awaited) == 1 + 3


async def test_of_a_symbol_that_was_never_predicted_nothing_is_known(
    connection: Connection,
) -> None:
    card = await Scorecards(connection).find(BTC)
    assert (card.symbol, card.awaited, card.tracks) == (BTC, (), ())
