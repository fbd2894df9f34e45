import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.domain.scores import log_loss, roc_auc, score

judged = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1)),
    min_size=1,
    max_size=60,
).map(lambda pairs: tuple(np.array(column, float) for column in zip(*pairs, strict=True)))


@given(judged)
def test_roc_auc_is_the_share_of_pairs_in_the_right_order_and_ties_count_half(
    pairs: tuple[np.ndarray, np.ndarray],
) -> None:
    labels, said = pairs
    ups, downs = said[labels > 0], said[labels == 0]
    wins = [float(up > down) + 0.5 * float(up == down) for up in ups for down in downs]
    expected = pytest.approx(sum(wins) / len(wins)) if wins else None
    assert roc_auc(labels, said) == expected


@given(judged)
def test_log_loss_is_the_mean_surprise_and_certainty_that_is_wrong_stays_finite(
    pairs: tuple[np.ndarray, np.ndarray],
) -> None:
    labels, said = pairs
    surprises = [
        -math.log(max(p if up else 1.0 - p, 1e-7)) for up, p in zip(labels, said, strict=True)
    ]
    assert log_loss(labels, said) == pytest.approx(sum(surprises) / len(surprises), abs=1e-6)


def test_accuracy_stands_beside_the_rate_of_the_commoner_class() -> None:
    found = score(7, "basic", np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.5, 0.2, 0.6, 0.4]))
    assert (found.accuracy, found.base_rate, found.rows) == (0.75, 0.75, 4)
    assert (found.horizon, found.learner) == (7, "basic")


def test_rows_of_one_class_have_no_roc_auc() -> None:
    assert score(1, "basic", np.ones(5), np.full(5, 0.4)).roc_auc is None
