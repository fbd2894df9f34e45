from dataclasses import replace

import numpy as np
import pytest

from services.trainer.domain import grid
from services.trainer.domain.adoption import MIN_TRADES
from services.trainer.domain.evolution import MOST_ROWS, Sums, search
from shared.contracts.terms import Timeframe
from shared.contracts.trading import ParameterSearch, SignalParameters, TradingTerms
from tests.support.planted_edge import BEST, HORIZONS, Told, aimless, planted_edge

DEFAULT = SignalParameters()
SURE = replace(DEFAULT, min_confidence=0.54)
TERMS = TradingTerms()
FREE = TradingTerms(fee_pct=0.0, slippage_pct=0.0, min_net_profit_pct=0.0)

#: Random walks of which nothing may be made.
SEEDS = range(40)


def searched(told: Told, present: SignalParameters, terms: TradingTerms = TERMS) -> ParameterSearch:
    return search(*told, timeframe=Timeframe.M15, horizons=HORIZONS, present=present, terms=terms)


def evolved(present: SignalParameters, *, rounds: int = 3, rows: int = 4000) -> SignalParameters:
    """After so many full trainings, each on new candles."""
    for seed in range(rounds):
        found = searched(planted_edge(rows, seed=seed, right=0.8), present)
        present = found.after if found.adopted else present
    return present


@pytest.mark.parametrize("terms", [TERMS, FREE])
def test_of_a_random_walk_nothing_is_adopted(terms: TradingTerms) -> None:
    adopted = [seed for seed in SEEDS if searched(aimless(seed, 1000), DEFAULT, terms).adopted]
    assert adopted == []


@pytest.mark.parametrize(
    "present",
    [
        SURE,
        SignalParameters(take_profit_atr=1.5, stop_loss_atr=1.0, min_confidence=0.54, holding=14),
        SignalParameters(take_profit_atr=6.0, stop_loss_atr=4.0, min_confidence=0.54, holding=30),
    ],
)
def test_what_is_planted_is_found_to_within_one_place(present: SignalParameters) -> None:
    found = evolved(present)
    assert places(found.take_profit_atr, BEST.take_profit_atr) <= 1
    assert places(found.stop_loss_atr, BEST.stop_loss_atr) <= 1
    assert found.holding == BEST.holding


def places(found: float, best: float) -> int:
    return abs(grid.LEVELS.index(found) - grid.LEVELS.index(best))


def test_the_best_parameters_stay() -> None:
    assert evolved(BEST) == BEST


def test_an_adopted_search_says_what_it_gains() -> None:
    found = searched(planted_edge(4000, seed=0, right=0.8), SURE)
    before, after = found.before_result, found.after_result
    assert found.adopted
    assert found.before == SURE
    assert after.trades >= MIN_TRADES
    assert after.mean_net_pct is not None
    assert before.mean_net_pct is not None
    assert after.mean_net_pct > before.mean_net_pct
    assert after.total_net_pct == pytest.approx(after.mean_net_pct * after.trades)
    assert "% more than with the present parameters" in found.note


def test_no_window_knows_what_is_only_seen_in_it() -> None:
    """No forecast is sure before the last window."""
    told = planted_edge(6000, seed=1, right=0.8)
    p_up = told.p_up.copy()
    p_up[:5000] = 0.5
    found = searched(told._replace(p_up=p_up), SURE)
    assert found.after != SURE
    assert found.after_result == found.before_result
    assert (found.folds_better, found.adopted) == (0, False)


def test_few_trades_prove_nothing() -> None:
    found = searched(planted_edge(500, seed=0, right=1.0), SURE)
    assert not found.adopted
    assert (
        found.note == f"{found.after_result.trades} trades are too few to judge by: 30 are needed"
    )


def test_only_the_newest_candles_are_searched() -> None:
    told = planted_edge(MOST_ROWS + 500, seed=0, right=0.8)
    newest = Told(told.candles[500:], told.atr_pct[500:], told.p_up[500:])
    assert searched(told, SURE) == searched(newest, SURE)


def test_few_candles_are_not_searched_at_all() -> None:
    found = searched(planted_edge(59, seed=0, right=1.0), DEFAULT)
    assert (found.adopted, found.tried, found.after) == (False, 0, DEFAULT)
    assert found.note == "59 unseen candles are too few to search on: 60 are needed"


def test_parameters_of_a_horizon_that_the_model_lacks_mean_the_nearest() -> None:
    found = searched(planted_edge(600, seed=0, right=0.8), replace(SURE, holding=9))
    assert found.before.holding == 7


def test_the_same_search_finds_the_same() -> None:
    told = planted_edge(1500, seed=3, right=0.8)
    assert searched(told, SURE) == searched(told, SURE)


def test_a_trade_that_was_open_when_a_window_began_was_not_known_then() -> None:
    """Of one set in two windows: 3 % in the first, of which 2 % may have come after its end."""
    sums = Sums(
        total=np.array([[3.0, 5.0]]),
        squares=np.array([[5.0, 25.0]]),
        purged_total=np.array([[2.0, 0.0]]),
        purged_squares=np.array([[4.0, 0.0]]),
    )
    assert sums.surely(1, errors=0.0) == pytest.approx([1.0])
    assert sums.surely(1, errors=2.0) == pytest.approx([-1.0])
    assert sums.surely(2, errors=0.0) == pytest.approx([8.0])
