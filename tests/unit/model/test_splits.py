"""A split that nobody took out of the candles is undone; a crash is not taken for one."""

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.terms import Timeframe
from shared.model.candles import Candles
from shared.model.features import Matrix, matrix
from shared.model.forecast import forecast
from shared.model.history import WARMUP
from shared.model.splits import MEMORY, adjusted
from tests.benchmarks.markets import daily
from tests.support.markets import random_walk, split_at
from tests.support.models import made_up_model

FORWARD = tuple(Fraction(r) for r in ("3/2", "2", "3", "4", "5", "7", "10", "20"))
RATIOS = (*FORWARD, *(1 / r for r in FORWARD))
ROWS, ROW = 300, 200

ratios = st.sampled_from(RATIOS)
rows = st.integers(MEMORY, ROWS - 1)
seeds = st.integers(0, 20)


def _features(candles: Candles) -> Matrix:
    return matrix(adjusted(candles)[0])


def _near(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    return np.allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ratio", RATIOS, ids=str)
@pytest.mark.parametrize("volume", [True, False])
def test_a_split_is_found_where_it_was(ratio: Fraction, volume: bool) -> None:
    candles = random_walk(ROWS)
    _, found = adjusted(split_at(candles, ROW, float(ratio), volume=volume))
    assert [(split.at_ms, split.ratio) for split in found] == [(candles["at"][ROW], ratio)]


@given(ratio=ratios, row=rows, seed=seeds)
@settings(max_examples=60)
def test_a_split_series_has_the_features_of_the_same_series_without(
    ratio: Fraction, row: int, seed: int
) -> None:
    candles = random_walk(ROWS, seed=seed)
    candles["volume"] = 1000.0 + np.arange(ROWS)  # so even that its step is never in doubt
    assert _near(_features(split_at(candles, row, float(ratio))), matrix(candles))


def test_what_is_undone_is_said_in_words() -> None:
    _, (split,) = adjusted(split_at(random_walk(ROWS), ROW, 1.5))
    assert str(split) == "3:2 split at 2024-07-19T00:00:00Z"
    _, (split,) = adjusted(split_at(random_walk(ROWS), ROW, 0.1))
    assert str(split) == "1:10 split at 2024-07-19T00:00:00Z"


def test_several_splits_are_all_undone() -> None:
    candles = random_walk(ROWS)
    halved = split_at(split_at(candles, 150, 2.0), ROW, 0.1)
    undone, found = adjusted(halved)
    assert [split.ratio for split in found] == [2, Fraction(1, 10)]
    assert np.array_equal(undone[ROW:], halved[ROW:])
    assert _near(undone["close"] / candles["close"], np.full(ROWS, 5.0))


def test_a_volume_that_was_adjusted_already_stays_as_it_is() -> None:
    candles = random_walk(ROWS)
    undone, (split,) = adjusted(split_at(candles, ROW, 7.0, volume=False))
    assert not split.volume
    assert np.array_equal(undone["volume"], candles["volume"])


@given(seed=seeds, timeframe=st.sampled_from([Timeframe.D1, Timeframe.M15]))
def test_candles_without_a_split_are_given_back_as_they_are(
    seed: int, timeframe: Timeframe
) -> None:
    candles = random_walk(ROWS, seed=seed, timeframe=timeframe)
    same, found = adjusted(candles)
    assert same is candles
    assert found == ()


def test_the_candles_given_are_not_changed() -> None:
    candles = split_at(random_walk(ROWS), ROW, 2.0)
    before = candles.copy()
    adjusted(candles)
    assert np.array_equal(candles, before)


@given(ratio=ratios, row=st.integers(WARMUP, ROWS - 1), cut=st.integers(WARMUP + 1, ROWS))
@settings(max_examples=60)
def test_no_feature_of_a_split_series_sees_the_future(ratio: Fraction, row: int, cut: int) -> None:
    """A later split rescales all prices before it, and the features are ratios of prices."""
    candles = split_at(random_walk(ROWS), row, float(ratio))
    assert _near(_features(candles)[: cut - WARMUP], _features(candles[:cut]))


@given(row=st.integers(ROWS - WARMUP - MEMORY, ROWS - 1), ratio=st.sampled_from([2, 4, 0.5]))
def test_a_prediction_sees_the_bits_that_a_training_saw(row: int, ratio: float) -> None:
    """However far back a training reads. Halves and quarters round nothing."""
    candles = split_at(random_walk(ROWS), row, ratio)
    assert np.array_equal(_features(candles)[-1:], _features(candles[-WARMUP - 1 :]))


@pytest.mark.parametrize("ratio", [2.0, 0.5])
def test_a_forecast_after_a_split_is_that_of_the_same_market_without(ratio: float) -> None:
    candles, model = random_walk(ROWS), made_up_model()
    assert forecast(model, split_at(candles, ROWS - 30, ratio)) == forecast(model, candles)


def _crash(candles: Candles) -> None:
    """Half of the value is gone at the open, and everyone trades."""
    candles["volume"][ROW] *= 15.0


def _wild_day(candles: Candles) -> None:
    candles["low"][ROW] *= 0.9


def _off_the_ratio(candles: Candles) -> None:
    for name in ("open", "high", "low", "close"):
        candles[name][ROW:] *= 1.1


def _long_pause(candles: Candles) -> None:
    candles["at"][ROW:] += 8 * 86_400_000


def _without_trade(candles: Candles) -> None:
    candles["volume"][ROW] = 0.0


def _wild_market(candles: Candles) -> None:
    candles["high"] *= 1.1


def _still_before(candles: Candles) -> None:
    """Like a price of two ticks that falls by one."""
    for name in ("open", "high", "low", "close"):
        candles[name][:ROW], candles[name][ROW:] = 2e-8, 1e-8


@pytest.mark.parametrize(
    "unlike",
    [
        _crash,
        _wild_day,
        _off_the_ratio,
        _long_pause,
        _without_trade,
        _wild_market,
        _still_before,
    ],
    ids=lambda unlike: unlike.__name__,
)
def test_what_is_no_split_is_left_alone(unlike: Any) -> None:
    candles = split_at(random_walk(ROWS), ROW, 2.0)
    assert adjusted(candles)[1]
    unlike(candles)
    assert adjusted(candles)[1] == ()


def test_too_few_candles_to_judge_by_are_left_alone() -> None:
    for rows in (0, 1, MEMORY):
        candles = split_at(random_walk(rows), rows // 2, 2.0)
        assert adjusted(candles)[0] is candles


def test_in_real_candles_the_splits_are_found_and_the_crash_is_not() -> None:
    """AAPL fell by half on 2000-09-29, and there were profits to warn of."""
    found = {
        f"{symbol} {split}"
        for symbol, candles in daily(None).series.items()
        for split in adjusted(candles)[1]
    }
    assert found == {
        "AAPL 2:1 split at 2000-06-21T00:00:00Z",
        "AAPL 2:1 split at 2005-02-28T00:00:00Z",
        "MSFT 2:1 split at 2003-02-18T00:00:00Z",
    }
