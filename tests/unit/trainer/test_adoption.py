from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.trainer.domain.adoption import Comparison, Taken, judged
from shared.contracts.trading import Backtest, SignalParameters
from tests.support.attempts import BETTER

WINDOWS = [range(200 + start, 200 + start + 100) for start in range(0, 400, 100)]
#: Every fifth row of the windows decides on a trade.
ROWS = np.arange(200, 600, 5)
#: Of each two trades one gains and one loses, by the same and on average nothing.
SWING = np.where(np.arange(len(ROWS)) % 2, 0.5, -0.5)


def taken(mean_pct: float, rows: Any = ROWS) -> Taken:
    return Taken(rows, mean_pct + SWING[: len(rows)])


CLEAR = Comparison(
    tried=375,
    before=SignalParameters(),
    after=BETTER,
    by_luck=False,
    windows=WINDOWS,
    block=8,
    of_before=taken(0.1),
    of_chosen=taken(0.6),
)


def note(**changes: Any) -> str:
    """Why a comparison that is clear but for these changes is none to adopt on."""
    found = judged(replace(CLEAR, **changes))
    assert not found.adopted
    return found.note


def test_what_is_clearly_better_is_adopted() -> None:
    found = judged(CLEAR)
    assert found.adopted
    assert (found.before, found.after) == (SignalParameters(), BETTER)
    assert (found.folds, found.folds_better, found.tried) == (4, 4, 375)
    assert found.note == (
        "each trade gives 0.50 % more than with the present parameters, and 4 of 4 windows are "
        "better"
    )


def test_the_results_count_trades_and_how_many_won() -> None:
    found = judged(CLEAR)
    before, after = found.before_result, found.after_result
    assert (before.trades, before.hit_rate, after.hit_rate) == (80, 0.5, 1.0)
    assert before.mean_net_pct == pytest.approx(0.1)
    assert before.total_net_pct == pytest.approx(8.0)


def test_no_trade_has_no_mean() -> None:
    found = judged(replace(CLEAR, of_before=Taken(ROWS[:0], SWING[:0])))
    assert found.before_result == Backtest(
        trades=0, hit_rate=None, mean_net_pct=None, total_net_pct=0.0
    )


def test_the_present_parameters_are_not_adopted_anew() -> None:
    assert "nothing within reach" in note(after=SignalParameters())


def test_few_trades_adopt_nothing() -> None:
    assert note(of_chosen=taken(0.6, ROWS[:29])).startswith("29 trades are too few")


def test_what_the_best_of_many_gets_by_luck_adopts_nothing() -> None:
    assert note(by_luck=True) == "the best of 375 sets would look as good by luck"


def test_a_little_better_is_not_worth_a_change() -> None:
    assert note(of_chosen=taken(0.14)) == "each trade gives 0.04 % more: 0.05 % are asked for"


def test_one_very_good_window_does_not_outweigh_the_others() -> None:
    lopsided = np.where(ROWS >= 500, 9.0, 0.05)
    assert note(of_chosen=Taken(ROWS, lopsided + SWING)) == "only 1 of 4 windows are better"


def test_half_of_the_windows_are_not_most() -> None:
    lopsided = np.where(ROWS >= 400, 3.0, 0.05)
    assert note(of_chosen=Taken(ROWS, lopsided + SWING)) == "only 2 of 4 windows are better"


def test_to_lose_less_is_not_to_gain() -> None:
    assert "less than 99 % sure" in note(of_before=taken(-2.0), of_chosen=taken(-0.1))


def test_a_gain_that_swings_too_much_is_not_sure() -> None:
    assert "less than 99 % sure" in note(of_chosen=Taken(ROWS, 0.6 + 16.0 * SWING))


def test_more_than_the_present_parameters_must_be_sure_too() -> None:
    assert "less than 99 % sure" in note(of_before=Taken(ROWS, 0.1 + 16.0 * SWING))
