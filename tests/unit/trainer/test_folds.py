from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.domain.folds import (
    MAX_FOLDS,
    MIN_TEST,
    MIN_TRAIN,
    MIN_VALID,
    Fold,
    feasible,
    walk_forward,
)
from shared.contracts.errors import NotEnoughHistory

sizes = st.integers(1, 20_000)
purges = st.integers(1, 100)


@given(rows=sizes, test_rows=st.integers(1, 3000), purge=purges)
def test_no_label_of_a_part_is_made_of_the_candles_of_a_later_part(
    rows: int, test_rows: int, purge: int
) -> None:
    """The label of row t is made of row t + purge, which must come before the next part."""
    for fold in _folds(rows, test_rows, purge):
        assert fold.train[-1] + purge < fold.valid[0]
        assert fold.valid[-1] + purge < fold.test[0]


@given(rows=sizes, test_rows=st.integers(1, 3000), purge=purges)
def test_folds_expand_and_their_tests_are_adjacent_and_end_with_the_last_row(
    rows: int, test_rows: int, purge: int
) -> None:
    folds = _folds(rows, test_rows, purge)
    for fold in folds:
        assert fold.train[0] == 0
        assert len(fold.train) >= MIN_TRAIN
        assert len(fold.valid) >= MIN_VALID
    for earlier, later in pairwise(folds):
        assert later.test.start == earlier.test.stop
        assert len(later.train) > len(earlier.train)
        assert len(later.test) == len(earlier.test)
    if folds:
        assert len(folds) <= MAX_FOLDS
        assert folds[-1].test.stop == rows


@given(rows=sizes, test_rows=st.integers(1, 3000), purge=purges)
def test_nothing_after_a_test_block_is_learnt_from_so_that_no_embargo_is_needed(
    rows: int, test_rows: int, purge: int
) -> None:
    """An embargo keeps a test label out of the features of training rows that follow it."""
    for fold in _folds(rows, test_rows, purge):
        assert max(*fold.train, *fold.valid) < fold.test[0]


def _folds(rows: int, test_rows: int, purge: int) -> tuple[Fold, ...]:
    try:
        return walk_forward(rows, test_rows=test_rows, purge=purge)
    except NotEnoughHistory:
        return ()


def test_a_history_without_room_for_a_whole_test_block_gets_a_shorter_one() -> None:
    needed = MIN_TRAIN + 3 + MIN_VALID + 3
    (fold,) = walk_forward(needed + 12, test_rows=30, purge=3)
    assert len(fold.test) == 12


def test_too_short_a_history_says_how_many_rows_it_has_and_needs() -> None:
    needed = MIN_TRAIN + 3 + MIN_VALID + 3 + MIN_TEST
    with pytest.raises(NotEnoughHistory, match=f"{needed - 1} labelled rows.*needs {needed}"):
        walk_forward(needed - 1, test_rows=30, purge=3)


def test_long_horizons_are_given_up_before_the_model_is() -> None:
    horizons = (30, 1, 3, 7, 14)
    assert feasible(730, horizons, test_rows=30) == (1, 3, 7, 14, 30)
    assert feasible(130, horizons, test_rows=30) == (1, 3, 7, 14)
    assert feasible(74, horizons, test_rows=30) == (1,)
    with pytest.raises(NotEnoughHistory):
        feasible(50, horizons, test_rows=30)
