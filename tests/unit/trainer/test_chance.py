import numpy as np
import pytest

from services.trainer.domain.chance import chance
from tests.benchmarks.chance_table import cell

HORIZONS = (1, 3, 7, 14, 30)


@pytest.mark.parametrize("horizon", HORIZONS)
def test_with_more_rows_there_is_less_to_gain_by_chance(horizon: int) -> None:
    few, more, many = (chance(rows, horizon) for rows in (60, 600, 20_000))
    assert few.high > more.high > many.high > 0.5
    assert abs(many.mean - 0.5) < 0.01


def test_long_horizons_stray_further() -> None:
    highs = [chance(120, horizon).high for horizon in HORIZONS]
    assert highs == sorted(highs)


def test_a_window_shorter_than_any_known_is_taken_for_the_shortest() -> None:
    assert chance(10, 1) == chance(14, 1)
    assert chance(10, 90) == chance(10, 30)


def test_the_table_is_what_the_training_gets_on_random_walks() -> None:
    """A few walks only, so only coarsely: within four standard errors of the table's mean."""
    rows, areas = cell(250, 14, range(500, 504))
    for place, horizon in enumerate(HORIZONS):
        known = chance(rows, horizon)
        spread = (known.high - known.mean) / 1.645
        assert np.nanmean(areas[:, place]) == pytest.approx(known.mean, abs=4 * spread / 4**0.5)
