"""What was served is scored once, and right."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest

from services.predictor.domain.outcomes import Closes, updated
from services.predictor.handlers.outcomes import NotedPredictions
from shared.contracts.errors import MalformedMessage, Unavailable
from shared.contracts.quality import Scorecard
from shared.contracts.records import Prediction
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle, pack
from shared.runtime.clock import to_ms
from tests.support.predicting import BTC, START, forecast, prediction

STEP = timedelta(minutes=15)


def closes(*values: float, since: datetime = START) -> Closes:
    return Closes(at=tuple(since + n * STEP for n in range(len(values))), values=values)


def served(
    candle: int = 0, p_up: float = 0.6, *, horizon: int = 1, version: str = "v1"
) -> Prediction:
    at = START + candle * STEP
    return prediction(BTC, forecast(horizon, p_up=p_up), version=version, candle_at=at)


def card_of(*events: tuple[Prediction, Closes]) -> Scorecard:
    card = Scorecard(symbol=BTC)
    for one, known in events:
        card = updated(card, one, known)
    return card


def test_a_forecast_waits_until_its_horizon_has_passed() -> None:
    waiting = card_of((served(horizon=2), closes(1.0, 2.0)))
    assert (len(waiting.awaited), waiting.tracks) == (1, ())
    scored = updated(waiting, served(2, horizon=2), closes(1.0, 2.0, 3.0))
    assert scored.tracks[0].forecasts == 1
    assert [each.candle_at for each in scored.awaited] == [START + 2 * STEP]


def test_a_score_is_what_its_definition_says() -> None:
    (track,) = card_of(
        (served(0, 0.8), closes(1.0)),
        (served(1, 0.3), closes(1.0, 2.0)),
        (served(2, 0.5), closes(1.0, 2.0, 2.0)),
        (served(3, 0.9), closes(1.0, 2.0, 2.0, 1.0)),
    ).tracks
    said, rose = (0.8, 0.3, 0.5), (True, False, False)
    losses = [-math.log(p if up else 1 - p) for p, up in zip(said, rose, strict=True)]
    assert (track.forecasts, track.hits) == (3, 2)
    assert track.brier == pytest.approx((0.04 + 0.09 + 0.25) / 3)
    assert track.log_loss == pytest.approx(sum(losses) / 3)
    assert track.log_loss_square_sum == pytest.approx(sum(loss**2 for loss in losses))
    bins = {
        place: (each.forecasts, each.ups) for place, each in enumerate(track.bins) if each.forecasts
    }
    assert bins == {3: (1, 0), 5: (1, 0), 8: (1, 1)}
    assert (track.first_at, track.last_at) == (START, START + 2 * STEP)


def test_a_prediction_that_is_told_again_counts_once() -> None:
    one = (served(), closes(1.0))
    late = (replace(served(), stale=True), closes(1.0, 2.0))
    card = card_of(one, one, late, late)
    assert (card.awaited, card.tracks[0].forecasts) == ((), 1)


def test_versions_and_horizons_are_told_apart() -> None:
    known = closes(1.0, 2.0, 1.0)
    card = card_of(
        (served(0, 0.6), known),
        (served(0, 0.6, horizon=2), known),
        (served(0, 0.4, version="v2"), known),
    )
    assert [(each.model_version, each.horizon, each.hits) for each in card.tracks] == [
        ("v2", 1, 0), ("v1", 1, 1), ("v1", 2, 0),
    ]  # fmt: skip


def test_the_newest_ten_versions_are_kept() -> None:
    card = card_of(
        *((served(n, version=f"v{n:02}"), closes(*map(float, range(n + 2)))) for n in range(14))
    )
    assert [track.model_version for track in card.tracks] == [f"v{n:02}" for n in range(13, 3, -1)]


def test_what_waits_for_a_candle_that_was_taken_out_is_let_go() -> None:
    hole = Closes(at=(START - STEP, START + STEP), values=(1.0, 2.0))
    assert card_of((served(), closes(1.0)), (served(1), hole)).awaited == (
        *card_of((served(1), hole)).awaited,
    )


def test_what_is_older_than_the_candles_that_were_read_waits_on() -> None:
    later = closes(1.0, 2.0, since=START + STEP)
    assert len(card_of((served(), closes(1.0)), (served(1, version="v2"), later)).awaited) == 1


class Cards:
    def __init__(self) -> None:
        self.card = Scorecard(symbol=BTC)
        self.broken: Exception | None = None

    async def find(self, symbol: Symbol) -> Scorecard:
        if self.broken:
            raise self.broken
        return self.card

    async def revise(self, symbol: Symbol, revised: Callable[[Scorecard], Scorecard]) -> None:
        self.card = revised(self.card)


class Market:
    """Candles of which every one is an ordinary small move, but where a test says otherwise."""

    def __init__(self, rows: int) -> None:
        random, close = Random(3), 100.0
        self.candles: list[Candle] = []
        for n in range(rows):
            opened, close = close, close * math.exp(random.gauss(0.0, 0.01))
            high, low = max(opened, close) * 1.002, min(opened, close) * 0.998
            at = to_ms(START + n * STEP)
            self.candles.append(Candle(at, opened, high, low, close, 1000.0))

    def split(self, row: int) -> None:
        """Two for one, from this row on."""
        self.candles[row:] = [
            Candle(at, open_ / 2, high / 2, low / 2, close / 2, volume * 2)
            for at, open_, high, low, close, volume in self.candles[row:]
        ]

    async def tail(self, symbol: Symbol, timeframe: Timeframe, rows: int) -> bytes:
        return pack(self.candles[-rows:])


class Told:
    def __init__(self) -> None:
        self.predictions: list[Prediction] = []
        self.noted_before: list[int] = []
        self.cards = Cards()

    async def publish(self, prediction: Prediction) -> Prediction:
        self.predictions.append(prediction)
        self.noted_before.append(len(self.cards.card.awaited))
        return prediction


async def test_a_prediction_is_noted_before_it_is_told() -> None:
    told = Told()
    noted = NotedPredictions(told, told.cards, Market(60))
    await noted.publish(served(59))
    assert told.noted_before == [1]


@pytest.mark.parametrize("split_at", [None, 45])
async def test_a_split_before_the_end_of_the_horizon_is_no_fall(split_at: int | None) -> None:
    told, market = Told(), Market(60)
    noted = NotedPredictions(told, told.cards, market)
    higher = market.candles[43].close * 1.01
    market.candles[48] = market.candles[48]._replace(close=higher, high=higher * 1.002)
    whole, market.candles = market.candles, market.candles[:44]
    await noted.publish(served(43, 0.9, horizon=5))
    market.candles = whole
    if split_at:
        market.split(split_at)
    await noted.publish(served(59, horizon=5))
    (track,) = told.cards.card.tracks
    assert (track.forecasts, track.hits) == (1, 1)


async def test_a_scorecard_that_cannot_be_read_stands_in_no_predictions_way() -> None:
    told = Told()
    told.cards.broken = MalformedMessage("not a scorecard")
    await NotedPredictions(told, told.cards, Market(60)).publish(served(59))
    assert len(told.predictions) == 1


async def test_what_could_not_be_noted_is_not_told_yet() -> None:
    told = Told()
    told.cards.broken = Unavailable("NATS does not answer")
    with pytest.raises(Unavailable):
        await NotedPredictions(told, told.cards, Market(60)).publish(served(59))
    assert told.predictions == []
