import pytest

from services.predictor.domain.selection import narrowed, ranked
from shared.contracts.errors import UnknownHorizon
from shared.contracts.requests import TopRequest
from tests.support.predicting import BTC, ETH, forecast, prediction

NEAR = forecast(1, p_up=0.55, expected=0.1)
FAR = forecast(7, p_up=0.2, expected=-2.0)
RISING = forecast(1, p_up=0.7, expected=0.5)


def test_without_a_horizon_everything_is_given() -> None:
    whole = prediction(BTC, NEAR, FAR)
    assert narrowed(whole, None) == whole


def test_a_horizon_narrows_to_its_forecast() -> None:
    assert narrowed(prediction(BTC, NEAR, FAR), 7).predictions == (FAR,)


def test_an_unknown_horizon_says_which_there_are() -> None:
    with pytest.raises(UnknownHorizon, match="2 candles ahead; for BTC/USDT there are 1, 7"):
        narrowed(prediction(BTC, FAR, NEAR), 2)


def test_by_confidence_a_sure_fall_stands_above_a_likely_rise() -> None:
    lines = ranked([prediction(ETH, RISING), prediction(BTC, NEAR, FAR)], TopRequest())
    assert [(line.symbol, line.forecast) for line in lines] == [(BTC, FAR), (ETH, RISING)]


def test_by_expected_return_the_highest_comes_first_and_falls_last() -> None:
    asked = TopRequest(sort="expected_return", horizon=None)
    lines = ranked([prediction(BTC, FAR), prediction(ETH, NEAR, RISING)], asked)
    assert [(line.symbol, line.forecast) for line in lines] == [(ETH, RISING), (BTC, FAR)]


def test_the_asked_horizon_is_the_one_that_counts() -> None:
    lines = ranked([prediction(BTC, NEAR, FAR), prediction(ETH, RISING)], TopRequest(horizon=1))
    assert [(line.symbol, line.forecast) for line in lines] == [(ETH, RISING), (BTC, NEAR)]


def test_a_symbol_without_the_asked_horizon_is_left_out() -> None:
    lines = ranked([prediction(BTC, NEAR, FAR), prediction(ETH, RISING)], TopRequest(horizon=7))
    assert [line.symbol for line in lines] == [BTC]


def test_a_horizon_that_nobody_has_is_unknown() -> None:
    with pytest.raises(UnknownHorizon, match="there are 1, 7"):
        ranked([prediction(BTC, NEAR, FAR)], TopRequest(horizon=3))


def test_before_the_first_prediction_the_list_is_empty() -> None:
    assert ranked([], TopRequest(horizon=3)) == []


def test_no_more_lines_than_asked_for_and_equal_ones_by_symbol() -> None:
    both = [prediction(ETH, NEAR), prediction(BTC, NEAR)]
    assert [line.symbol for line in ranked(both, TopRequest(n=1))] == [BTC]
