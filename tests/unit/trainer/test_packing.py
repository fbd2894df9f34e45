import json
from typing import Any

import numpy as np
import pytest

from services.trainer.domain import packing
from services.trainer.domain.boosters import CatBoost, LightGBM, XGBoost
from services.trainer.domain.failures import Unsound
from services.trainer.domain.learners import Effort
from shared.model.features import Matrix
from shared.model.odds import sigmoid

DEPTH = 4
EFFORT = Effort(depth=DEPTH, bins=32, rounds=40)
LEARNERS = ["xgboost", "lightgbm", "catboost"]


def _rows(seed: int = 0, rows: int = 600) -> Matrix:
    """Some columns take few values, zero among them, so that thresholds are met exactly."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((rows, 8)).astype(np.float32)
    features[:, :3] = np.round(features[:, :3])
    return features


def _labels(rows: Matrix) -> np.ndarray:
    noise = np.random.default_rng(1).standard_normal(len(rows))
    return (rows[:, 0] + rows[:, 3] * rows[:, 4] + noise > 0).astype(np.float32)


def _fitted(name: str) -> Any:
    rows = _rows()
    known = (rows, _labels(rows)[:, None], EFFORT, rows)
    learners = (XGBoost(*known), LightGBM(*known), CatBoost(*known))
    (learner,) = (learner for learner in learners if learner.name == name)
    return learner.study(range(len(rows))).fit(0, rounds=EFFORT.rounds)


def _meeting_thresholds(group: packing.Group) -> Matrix:
    """Rows whose values are the trees' own thresholds, and the float32 just below them."""
    met = group.threshold[np.isfinite(group.threshold)]
    tied = np.random.default_rng(2).choice(met, (400, 8)).astype(np.float32)
    return np.concatenate([tied, np.nextafter(tied, np.float32(-np.inf))])


@pytest.mark.parametrize("name", LEARNERS)
def test_packed_trees_say_what_the_library_says_of_new_rows_and_at_thresholds(name: str) -> None:
    fitted = _fitted(name)
    group = fitted.packed(DEPTH)
    forest = packing.forest([group], DEPTH)
    forest.check(groups=1, features=8)
    for rows in (_rows(seed=5), _meeting_thresholds(group)):
        packed = sigmoid(forest.margins(rows)[:, 0])
        np.testing.assert_allclose(packed, fitted.probabilities(rows), atol=1e-6)


@pytest.mark.parametrize("name", LEARNERS)
def test_shallow_trees_fit_into_deeper_tables(name: str) -> None:
    fitted, rows = _fitted(name), _rows(seed=6)
    deeper = packing.forest([fitted.packed(DEPTH + 2)], DEPTH + 2)
    packed = sigmoid(deeper.margins(rows)[:, 0])
    np.testing.assert_allclose(packed, fitted.probabilities(rows), atol=1e-6)


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_trees_deeper_than_their_table_are_unsound(name: str) -> None:
    with pytest.raises(Unsound, match="deeper than 2"):
        _fitted(name).packed(2)


def test_a_constant_says_the_same_of_every_row() -> None:
    forest = packing.forest([packing.pack_constant(0.7, 3)], 3)
    assert forest.margins(_rows(rows=3)).tolist() == [[0.7]] * 3


def test_catboosts_first_question_is_the_lowest_bit_of_its_leaf() -> None:
    """Written down by hand: splits on 0 and 1, leaf number = bit 0 of the first, bit 1 of both."""
    splits = [{"float_feature_index": i, "border": 0.5} for i in (0, 1)]
    tree = {"splits": splits, "leaf_values": [0.0, 1.0, 2.0, 3.0]}
    model = json.loads(json.dumps({"oblivious_trees": [tree], "scale_and_bias": [2.0, [0.25]]}))
    forest = packing.forest([packing.pack_catboost(model, 2)], 2)
    rows = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)
    assert forest.margins(rows)[:, 0].tolist() == [0.25, 2.25, 4.25, 6.25]
