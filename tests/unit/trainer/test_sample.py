import numpy as np
import pytest

from services.trainer.domain.sample import sample
from shared.contracts.errors import NotEnoughHistory
from shared.model.features import matrix
from shared.model.history import MIN_WINDOW, WARMUP
from tests.support.jobs import daily_job
from tests.support.markets import random_walk


def test_the_window_is_the_plans_days_less_what_has_no_label_yet() -> None:
    candles = random_walk(1000)
    found = sample(daily_job(days_back=365, min_days=180), candles)
    assert len(found.features) == len(found.labels) == 365 - 30
    newest = matrix(candles)[-30 - 365 : -30]
    assert np.array_equal(found.features[-300:], newest[-300:])


def test_labels_belong_to_their_rows() -> None:
    candles = random_walk(400)
    found = sample(daily_job(days_back=365, min_days=180), candles)
    close = candles["close"][WARMUP:]
    for column, horizon in enumerate(found.horizons):
        rose = close[horizon:] > close[:-horizon]
        assert np.array_equal(found.labels[:, column], rose[: len(found.labels)])


def test_the_parts_of_a_fold_are_a_longest_label_apart() -> None:
    found = sample(daily_job(days_back=365, min_days=180), random_walk(600))
    for fold in found.folds:
        assert fold.valid.start - fold.train.stop == found.horizons[-1]
        assert fold.test.start - fold.valid.stop == found.horizons[-1]


def test_a_window_of_few_days_is_widened_to_rows_that_can_be_judged_by() -> None:
    found = sample(daily_job(days_back=90, min_days=90, test_days=14), random_walk(600))
    assert len(found.features) == MIN_WINDOW - 30


def test_weekends_are_days_of_the_window_but_not_rows_of_it() -> None:
    candles = random_walk(1000)
    weekdays = candles[(candles["at"] // 86_400_000 + 3) % 7 < 5]
    found = sample(daily_job(days_back=500, min_days=180, test_days=28), weekdays)
    assert len(found.features) == pytest.approx(500 * 5 / 7 - 30, abs=2)
    assert len(found.folds[0].test) == 20


def test_a_symbol_younger_than_the_minimum_says_how_old_it_is() -> None:
    with pytest.raises(NotEnoughHistory, match=r"150 days .* full training needs 180"):
        sample(daily_job(days_back=730, min_days=180), random_walk(150))


def test_a_symbol_listed_last_week_says_what_it_lacks() -> None:
    with pytest.raises(NotEnoughHistory, match=f"7 candles .* need {WARMUP + 1}"):
        sample(daily_job(days_back=730, min_days=5), random_walk(7))
    with pytest.raises(NotEnoughHistory, match="labelled rows"):
        sample(daily_job(days_back=730, min_days=5), random_walk(WARMUP + 30))
