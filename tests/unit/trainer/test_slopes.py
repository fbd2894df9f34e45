from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.domain.blending import own_slope
from services.trainer.domain.slopes import UNKNOWN, Slope, borne_out, expected, expected_beside
from shared.model.odds import sigmoid
from tests.support.models import made_up_score

slopes = st.builds(Slope, mean=st.floats(-1e3, 1e3), spread=st.floats(1e-3, 100.0))


def _others(count: int, *, mean: float, between: float, error: float, seed: int) -> list[Slope]:
    """What the rows of symbols say whose true slopes have this mean and differ by `between`."""
    rng = np.random.default_rng(seed)
    true = rng.normal(mean, between, count)
    return [Slope(mean=each, spread=error) for each in rng.normal(true, error).tolist()]


def test_where_there_is_no_other_symbol_nothing_is_known() -> None:
    known = expected([])
    assert known.mean == UNKNOWN.mean
    assert known.spread >= UNKNOWN.spread


def test_many_symbols_show_the_mean_and_how_much_they_differ() -> None:
    known = expected(_others(400, mean=0.2, between=0.3, error=0.5, seed=0))
    assert known.mean == pytest.approx(0.2, abs=0.06)
    assert known.spread == pytest.approx(0.3, abs=0.06)


def test_symbols_that_are_alike_are_told_from_rows_that_say_little() -> None:
    """Their slopes as found differ by a half; that is what finding them is good for, no more."""
    alike = expected(_others(400, mean=0.2, between=0.0, error=0.5, seed=0))
    assert alike.spread < 0.15


def test_rows_that_say_little_count_for_little() -> None:
    sure, unsure = Slope(mean=0.2, spread=0.1), Slope(mean=50.0, spread=50.0)
    assert expected([sure, unsure]).mean == pytest.approx(expected([sure]).mean, abs=0.1)


def test_one_other_symbol_leaves_room_for_this_one_to_differ() -> None:
    known = expected([Slope(mean=0.1, spread=0.01)])
    assert known.spread >= UNKNOWN.spread
    assert 0.1 < known.mean < UNKNOWN.mean


@given(st.lists(slopes, max_size=30))
def test_whatever_others_say_what_is_expected_is_a_distribution(found: list[Slope]) -> None:
    known = expected(found)
    means = [UNKNOWN.mean, *(slope.mean for slope in found)]
    assert min(means) - 1e-9 <= known.mean <= max(means) + 1e-9
    assert 0.0 < known.spread < np.inf


@pytest.mark.parametrize("true", [0.2, 1.0])
def test_what_rows_say_of_their_slope_is_right_within_its_error(true: float) -> None:
    rng = np.random.default_rng(1)
    off = []
    for _ in range(300):
        margins = rng.normal(0.0, 0.5, 200)
        found = own_slope(margins, rng.random(200) < sigmoid(true * margins), 1)
        assert found is not None
        off.append((found.mean - true) / found.spread)
    assert np.mean(off) == pytest.approx(0.0, abs=0.2)
    assert np.std(off) == pytest.approx(1.0, abs=0.2)


def test_forecasts_that_never_change_say_nothing_of_their_slope() -> None:
    assert own_slope(np.zeros(50), np.arange(50) < 20, 1) is None
    assert own_slope(np.empty(0), np.empty(0, bool), 1) is None


def test_a_score_says_what_its_rows_bear_out() -> None:
    said = made_up_score(horizon=1)
    assert borne_out([said]) == {}
    bold = replace(said, slope=0.3, slope_error=0.1)
    assert borne_out([said, bold]) == {1: Slope(mean=0.3, spread=0.1)}


def test_every_horizon_is_expected_by_those_others_that_know_it() -> None:
    short, both = {1: Slope(mean=0.9, spread=0.1)}, {h: Slope(mean=0.1, spread=0.1) for h in (1, 7)}
    known = expected_beside([short, both], (1, 7, 30))
    assert known == {
        1: expected([short[1], both[1]]),
        7: expected([both[7]]),
        30: expected([]),
    }
