"""Intervals against what really followed, in markets that no window foresaw."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from services.trainer.domain.labels import returns_ahead
from services.trainer.domain.outlooks import Past, middle, outlooks
from shared.model.artifact import Outlook
from shared.model.blend import Blend
from shared.model.candles import Candles
from shared.model.history import WARMUP
from shared.model.reach import atr_pct, reach
from tests.support.markets import clustered, planted_signal

HORIZONS = (1, 3, 7, 14, 30)
PLAIN = Blend.plain(horizons=len(HORIZONS), learners=4)
WINDOW = 500
LATER = 60
MARKETS = 120

Table = npt.NDArray[np.float64]


@pytest.mark.parametrize("horizon", [1, 3, 7])
@pytest.mark.parametrize("alone", [9, 20, 60])
def test_even_few_errors_bound_the_next_one_as_often_as_stated(alone: int, horizon: int) -> None:
    """Sums over steps that lean to one side, of which so many share no step."""
    rng = np.random.default_rng(alone)
    steps = rng.standard_exponential((3000, (alone + 1) * horizon))
    sums = sliding_window_view(steps, horizon, axis=1).sum(axis=2)
    bounds = np.array([middle(each, horizon) for each in sums[:, :-horizon]])
    held = (bounds[:, 0] <= sums[:, -1]) & (sums[:, -1] <= bounds[:, 1])
    assert held.mean() == pytest.approx(0.8, abs=0.025)


def test_fewer_errors_than_can_bound_the_next_one_do_it_as_well_as_they_can() -> None:
    assert middle(np.array([3.0, -1.0, 2.0]), 1) == (-1.0, 3.0)
    assert middle(np.arange(30.0), 30) == (0.0, 29.0)


def test_intervals_hold_what_follows_as_often_as_stated() -> None:
    """On rows behind the window, in markets whose volatility comes in clusters."""
    held = np.array([list(_held(clustered(_ROWS, seed=seed))) for seed in range(MARKETS)])
    assert held.mean() == pytest.approx(0.8, abs=0.02)
    assert held.mean(axis=(0, 2)) == pytest.approx(0.8, abs=0.035)


def test_intervals_hold_as_often_in_wild_times_as_in_calm_ones() -> None:
    """Where those that know of no volatility would hold nine and six of ten."""
    candles = [clustered(_ROWS, seed=seed) for seed in range(MARKETS)]
    moved = np.array([atr_pct(each)[WINDOW : -HORIZONS[-1]] for each in candles])
    held = np.array([next(_held(each)) for each in candles])
    for times in (moved < 1.0, moved > 2.0):
        assert times.sum() > 1000
        assert held[times].mean() == pytest.approx(0.8, abs=0.06)


def test_what_the_probability_says_moves_the_interval_and_it_holds_as_often() -> None:
    held, narrower = [], []
    for seed in range(MARKETS):
        candles = planted_signal(_ROWS, strength=0.6, seed=seed)
        signal = np.log(candles["volume"][WARMUP:]) - 10.0
        p_up = np.repeat(1.0 / (1.0 + np.exp(-2.0 * signal))[:, None], len(HORIZONS), axis=1)
        held.append(next(_held(candles, p_up)))
        told, untold = _outlooks(candles, p_up)[0], _outlooks(candles)[0]
        narrower.append((told.high_pct - told.low_pct) / (untold.high_pct - untold.low_pct))
    assert np.mean(held) == pytest.approx(0.8, abs=0.02)
    assert np.mean(narrower) < 0.95


def test_returns_that_are_not_known_yet_are_not_learnt_from() -> None:
    candles = clustered(_ROWS)
    past = _past(candles)
    longer = Past(
        atr_pct=past.atr_pct,
        returns=np.where(np.arange(len(past.returns))[:, None] < 400, past.returns, np.nan),
        p_up=past.p_up,
    )
    shorter = Past(atr_pct=past.atr_pct[:400], returns=past.returns[:400], p_up=past.p_up[:400])
    usual = np.median(longer.atr_pct) / np.median(shorter.atr_pct)
    for one, other in zip(
        outlooks(HORIZONS, longer, PLAIN), outlooks(HORIZONS, shorter, PLAIN), strict=True
    ):
        assert one.low_pct / other.low_pct == pytest.approx(usual**0.75)


def test_the_expected_return_is_within_the_interval_in_the_steepest_market() -> None:
    for outlook in _outlooks(clustered(_ROWS, drift=0.05)):
        assert outlook.low_pct <= 0.0 <= outlook.high_pct


def test_a_market_that_stands_still_expects_to_stand_still() -> None:
    rows = np.zeros((100, len(HORIZONS)))
    past = Past(atr_pct=rows[:, 0], returns=rows, p_up=rows * np.nan)
    for outlook in outlooks(HORIZONS, past, PLAIN):
        assert (outlook.low_pct, outlook.high_pct) == (0.0, 0.0)


_ROWS = WARMUP + WINDOW + LATER + HORIZONS[-1]


def _past(candles: Candles, p_up: Table | None = None) -> Past:
    """The window, of which each row's return is known only if it is over by the window's end."""
    window = candles[: WARMUP + WINDOW]
    returns = returns_ahead(window["close"], HORIZONS)[WARMUP:]
    said = np.full(returns.shape, np.nan) if p_up is None else p_up[:WINDOW]
    return Past(atr_pct=atr_pct(window), returns=returns, p_up=said)


def _outlooks(candles: Candles, p_up: Table | None = None) -> tuple[Outlook, ...]:
    return outlooks(HORIZONS, _past(candles, p_up), PLAIN)


def _held(candles: Candles, p_up: Table | None = None) -> Iterator[npt.NDArray[np.bool_]]:
    """Of each horizon: whether the intervals of the rows behind the window held the return."""
    later = slice(WINDOW, WINDOW + LATER)
    returns = returns_ahead(candles["close"], HORIZONS)[WARMUP:][later]
    for place, outlook in enumerate(_outlooks(candles, p_up)):
        assert outlook.usual_atr_pct is not None
        times = reach(atr_pct(candles)[later], outlook.usual_atr_pct)
        said = 0.5 if p_up is None else p_up[later, place]
        expected = said * outlook.mean_up_pct + (1.0 - said) * outlook.mean_down_pct
        low, high = times * (expected + outlook.low_pct), times * (expected + outlook.high_pct)
        yield (low <= returns[:, place]) & (returns[:, place] <= high)
