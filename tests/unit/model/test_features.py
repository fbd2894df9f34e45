from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.trainer.domain.labels import returns_ahead, rises
from shared.contracts.terms import Timeframe
from shared.model.candles import ROW, Candles, view
from shared.model.features import FEATURES, NAMES, matrix
from shared.model.history import WARMUP
from tests.support.feature_oracle import Oracle
from tests.support.markets import START_MS, random_walk, troubled

Compute = Callable[[Candles], npt.NDArray[Any]]

MARKETS = {
    "walk": random_walk(260, seed=3, timeframe=Timeframe.M15),
    "troubled": troubled(260, seed=4),
}


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("name", NAMES)
def test_a_feature_is_what_its_definition_says(name: str, market: str) -> None:
    candles = MARKETS[market]
    column = matrix(candles)[:, NAMES.index(name)]
    for t in (WARMUP, 127, 139, 141, 165, 190, 200, 219, 230, 259):
        assert column[t - WARMUP] == pytest.approx(Oracle(candles, t)(name), rel=1e-5, abs=1e-9), t


def test_features_are_between_40_and_60_finite_float32_columns_with_names_of_their_own() -> None:
    columns = matrix(random_walk(500))
    assert columns.shape == (500 - WARMUP, len(NAMES))
    assert 40 <= len(set(NAMES)) == len(NAMES) <= 60
    assert columns.dtype == np.float32
    assert columns.flags.c_contiguous
    assert all(feature.definition for feature in FEATURES)


@given(rows=st.integers(WARMUP + 1, 400), seed=st.integers(0, 9), more=st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_the_newest_rows_features_are_the_same_bits_whatever_the_history_before(
    rows: int, seed: int, more: int
) -> None:
    candles = random_walk(rows + more, seed=seed)
    live = matrix(candles[-WARMUP - 1 :])
    assert np.array_equal(matrix(candles)[-1:], live)


def sees_the_future(compute: Compute, candles: Candles, cut: int) -> bool:
    """Whether a row before `cut` changes when the candles from there on do, or are gone.

    `compute` gives one row of features for each of the last rows of its candles.
    """
    known = compute(candles[:cut])
    altered = candles.copy()
    for name in ("open", "high", "low", "close", "volume"):
        altered[name][cut:] = altered[name][cut:][::-1] * 3.0
    dropped = len(compute(candles)) - (len(candles) - cut)
    return any(not np.array_equal(compute(later)[:dropped], known) for later in (candles, altered))


@given(cut=st.integers(1, 399), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_no_feature_sees_the_future(cut: int, seed: int) -> None:
    candles = random_walk(400, seed=seed)
    if cut > WARMUP:
        assert not sees_the_future(matrix, candles, cut)
    else:
        assert len(matrix(candles[:cut])) == 0


def _log(candles: Candles) -> npt.NDArray[np.float64]:
    logs: npt.NDArray[np.float64] = np.log(candles["close"])[:, None]
    return logs


LEAKS: dict[str, Compute] = {
    "the label itself": lambda c: rises(returns_ahead(c["close"], (1,))),
    "the next close": lambda c: np.roll(_log(c), -1),
    "standard scores over all rows": lambda c: (_log(c) - _log(c).mean()) / _log(c).std(),
    "a centred average": lambda c: np.convolve(_log(c)[:, 0], np.ones(5) / 5, "same")[:, None],
    "ranks over all rows": lambda c: np.argsort(np.argsort(_log(c), axis=0), axis=0),
    "scaling to the range of all rows": lambda c: _log(c) / _log(c).max(),
    "a spectral filter": lambda c: np.fft.irfft(np.fft.rfft(_log(c)[:, 0])[:20], len(c))[:, None],
}


@pytest.mark.parametrize("leak", LEAKS)
@given(cut=st.integers(130, 370))
@settings(max_examples=10, deadline=None)
def test_a_planted_leak_is_caught(leak: str, cut: int) -> None:
    def leaking(candles: Candles) -> npt.NDArray[Any]:
        return np.concatenate([matrix(candles), LEAKS[leak](candles)[WARMUP:]], axis=1)

    assert sees_the_future(leaking, random_walk(400), cut)


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize(
    ("price", "volume"),
    [(1e3, 1.0), (1e-3, 1.0), (1.0, 1e3), (1.0, 1e-3), (1e3, 1e3), (1e6, 1e-6), (1e-6, 1e6)],
)
def test_no_feature_changes_with_what_a_share_costs_or_how_many_there_are(
    market: str, price: float, volume: float
) -> None:
    candles = MARKETS[market]
    scaled = candles.copy()
    for name in ("open", "high", "low", "close"):
        scaled[name] *= price
    scaled["volume"] *= volume
    for name, ours, theirs in zip(NAMES, matrix(scaled).T, matrix(candles).T, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6, err_msg=name)


@given(cut=st.integers(100, 260))
def test_the_values_of_a_row_come_from_its_newest_hundred_rows(cut: int) -> None:
    """The rest of `WARMUP` tells whether there was a split among these."""
    candles = random_walk(400)
    altered = candles.copy()
    for name in ("open", "high", "low", "close", "volume"):
        altered[name][:cut] = altered[name][:cut][::-1] * 3.0
    known = max(cut + 99 - WARMUP, 0)
    assert np.array_equal(matrix(altered)[known:], matrix(candles)[known:])


prices = st.floats(1e-12, 1e15)
volumes = st.floats(0.0, 1e21)


@given(
    rows=st.lists(st.tuples(prices, prices, prices, prices, volumes), min_size=3, max_size=12),
    repeats=st.integers(1, 60),
)
@settings(max_examples=60, deadline=None)
def test_every_feature_of_every_market_is_finite(
    rows: list[tuple[float, float, float, float, float]], repeats: int
) -> None:
    candles = np.empty(130, ROW)
    for t in range(len(candles)):
        *four, volume = rows[t // repeats % len(rows)]
        low, start, close, high = sorted(four)
        candles[t] = (START_MS + t * 3_600_000, start, high, low, close, volume)
    with np.errstate(all="raise", under="ignore"):
        assert np.all(np.isfinite(matrix(view(candles.tobytes()))))
