import numpy as np
import pytest

from services.trainer.domain import grid
from shared.contracts.trading import SignalParameters

HORIZONS = (1, 3, 7, 14, 30)


def test_a_search_moves_no_parameter_by_more_than_two_places() -> None:
    assert grid.within_reach(SignalParameters(), HORIZONS) == (
        (1.0, 1.5, 2.0, 3.0, 4.0),
        (0.75, 1.0, 1.5, 2.0, 3.0),
        (0.5, 0.51, 0.52),
        (1, 3, 7, 14, 30),
    )


def test_parameters_that_are_on_no_place_are_taken_to_be_on_the_nearest() -> None:
    odd = SignalParameters(take_profit_atr=9.0, stop_loss_atr=0.1, min_confidence=0.57, holding=5)
    assert grid.within_reach(odd, (1, 7, 14, 30)) == (
        (3.0, 4.0, 6.0),
        (0.5, 0.75, 1.0),
        (0.53, 0.54, 0.56, 0.58, 0.6),
        (1, 7, 14, 30),
    )


def test_every_combination_is_tried_once() -> None:
    axes = grid.within_reach(SignalParameters(), HORIZONS)
    tried = grid.sets(axes)
    assert len(tried) == len(set(tried)) == 5 * 5 * 3 * 5


def test_a_set_that_is_good_alone_counts_less_than_one_among_good_ones() -> None:
    axes = ((1.0, 1.5, 2.0, 3.0, 4.0), (1.0,), (0.5,), (7,))
    values = grid.levelled(np.array([5.0, 0.0, 3.0, 3.0, 3.0]), axes)
    assert values == pytest.approx([10 / 3, 2.0, 9 / 4, 3.0, 3.0])


def test_sets_of_different_horizons_are_not_neighbours() -> None:
    axes = ((1.0,), (1.0,), (0.5,), (3, 7))
    assert grid.levelled(np.array([0.0, 8.0]), axes).tolist() == [0.0, 8.0]
