from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.trainer.domain.paths import paths
from services.trainer.domain.replay import Replay
from shared.contracts.terms import Timeframe
from shared.contracts.trading import SignalParameters, TradingTerms
from shared.model.candles import ROW, Candles
from tests.support.one_by_one import trades_of

HORIZONS = (1, 3, 7)
LEVELS = (0.5, 1.0, 1.5, 2.0, 3.0)
ROWS = 120

parameters = st.builds(
    SignalParameters,
    take_profit_atr=st.sampled_from(LEVELS),
    stop_loss_atr=st.sampled_from(LEVELS),
    min_confidence=st.sampled_from((0.5, 0.55, 0.7)),
    holding=st.sampled_from(HORIZONS),
)
terms = st.builds(
    TradingTerms,
    fee_pct=st.sampled_from((0.0, 0.1)),
    slippage_pct=st.sampled_from((0.0, 0.05)),
    funding_pct_per_day=st.sampled_from((0.0, 0.7)),
    signal_cooldown_candles=st.integers(0, 4),
    min_confidence_threshold=st.sampled_from((0.5, 0.6)),
    min_net_profit_pct=st.sampled_from((0.0, 1.0)),
)


class Told(NamedTuple):
    """Candles, and what was foretold at the closes of the first of them."""

    candles: Candles
    atr_pct: npt.NDArray[np.float64]
    p_up: npt.NDArray[np.float64]


def wild(seed: int, *, missing: float = 0.2) -> Told:
    """Rough candles that open anywhere near the last close, some of them missing."""
    rng = np.random.default_rng(seed)
    rows = ROWS + HORIZONS[-1]
    close = 100.0 * np.exp(np.cumsum(0.01 * rng.standard_normal(rows)))
    start = np.append(100.0, close[:-1]) * np.exp(
        rng.choice([0.0, 0.02], rows, p=[0.7, 0.3]) * rng.standard_normal(rows)
    )
    wick = np.exp(np.abs(0.01 * rng.standard_normal((2, rows))))
    candles = np.zeros(rows, ROW)
    steps = 1 + (rng.random(rows) < missing) * rng.integers(1, 9, rows)
    candles["at"] = 1_700_000_000_000 + np.cumsum(steps) * Timeframe.H1.ms
    candles["open"], candles["close"] = start, close
    candles["high"] = np.maximum(start, close) * wick[0]
    candles["low"] = np.minimum(start, close) / wick[1]
    atr_pct = rng.choice([0.0, 1.0], ROWS, p=[0.1, 0.9]) * rng.uniform(0.3, 3.0, ROWS)
    return Told(candles, atr_pct, rng.random((ROWS, len(HORIZONS))))


def replayed(
    told: Told, tried: list[SignalParameters], rules: TradingTerms, windows: list[range]
) -> list[dict[int, float]]:
    """The trades of each lane: what each row's returned."""
    followed = paths(told.candles, told.atr_pct, Timeframe.H1, HORIZONS, LEVELS)
    found: list[dict[int, float]] = [{} for _ in range(len(tried) * len(windows))]
    for trades in Replay(followed, told.p_up, rules).trades(tried, windows):
        for lane, row, net_pct, _ in zip(*trades, strict=True):
            found[lane][int(row)] = float(net_pct)
    return found


@given(
    seed=st.integers(0, 2**32 - 1),
    tried=st.lists(parameters, min_size=1, max_size=3),
    rules=terms,
    cut=st.integers(1, ROWS - 1),
)
@settings(max_examples=150, deadline=None)
def test_a_replay_is_every_signal_settled_one_by_one(
    seed: int, tried: list[SignalParameters], rules: TradingTerms, cut: int
) -> None:
    told, windows = wild(seed), [range(cut), range(cut, ROWS)]
    lanes = [(each, window) for each in tried for window in windows]
    for found, (each, window) in zip(replayed(told, tried, rules, windows), lanes, strict=True):
        settled = trades_of(
            *told,
            timeframe=Timeframe.H1,
            horizons=HORIZONS,
            parameters=each,
            terms=rules,
            window=window,
        )
        assert found == pytest.approx(settled, abs=1e-9)
        assert found.keys() == settled.keys()


@given(seed=st.integers(0, 2**32 - 1), tried=parameters, stop=st.integers(1, ROWS))
@settings(max_examples=30, deadline=None)
def test_what_may_outlast_its_window_is_marked(
    seed: int, tried: SignalParameters, stop: int
) -> None:
    told = wild(seed, missing=0.0)
    followed = paths(told.candles, told.atr_pct, Timeframe.H1, HORIZONS, LEVELS)
    for trades in Replay(followed, told.p_up, TradingTerms()).trades([tried], [range(stop)]):
        assert (trades.purged == (trades.row + tried.holding >= stop)).all()
