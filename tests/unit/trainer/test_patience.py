"""The rule by which boosting ends, told one loss after another."""

from collections.abc import Iterable

import pytest

from services.trainer.domain.patience import PATIENCE, Patience


def _told(losses: Iterable[float], *, most: int = 1000) -> Patience:
    """As many of the losses as it asks for."""
    patience, coming = Patience(most), iter(losses)
    while not patience.over:
        patience.look(next(coming))
    return patience


def test_boosting_goes_on_while_the_loss_falls() -> None:
    assert _told((1.0 / n for n in range(1, 2000)), most=200) == Patience(200, 200, 200, 1.0 / 200)


@pytest.mark.parametrize("best", [1, 7, 40])
def test_it_ends_so_many_rounds_after_the_best(best: int) -> None:
    falling = [1.0 - n / 100 for n in range(1, best + 1)]
    told = _told([*falling, *[2.0] * 100])
    assert (told.best, told.looked) == (best, best + PATIENCE)


def test_a_loss_that_is_as_low_as_the_least_is_no_better() -> None:
    assert _told([0.5] * 100).best == 1


def test_a_new_best_just_before_the_end_gives_it_as_long_again() -> None:
    told = _told([0.5] * PATIENCE + [0.4] + [0.6] * 100)
    assert (told.best, told.looked) == (PATIENCE + 1, 2 * PATIENCE + 1)


def test_a_loss_that_is_no_number_is_never_the_best() -> None:
    assert _told([0.5, *[float("nan")] * 100]).best == 1
