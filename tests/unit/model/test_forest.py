import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.errors import ArtifactRefused
from shared.model.forest import Forest

FEATURES = 4


def _forest(seed: int, depth: int, groups: int) -> Forest:
    """Thresholds and rows come from few values, so that ties are common."""
    rng = np.random.default_rng(seed)
    trees = rng.integers(1, 4, groups).astype(np.int32)
    count = int(trees.sum())
    return Forest(
        depth=depth,
        feature=rng.integers(0, FEATURES, (count, 2**depth - 1)).astype(np.uint8),
        threshold=rng.choice([-1.0, 0.0, 1.0, np.inf], (count, 2**depth - 1)).astype(np.float32),
        leaf=rng.normal(size=(count, 2**depth)).astype(np.float32),
        trees=trees,
        base=rng.normal(size=groups),
    )


def _walk(forest: Forest, tree: int, row: npt.NDArray[np.float32]) -> float:
    """One step after the other, as a tree is drawn."""
    place = 0
    for _ in range(forest.depth):
        right = row[forest.feature[tree, place]] >= forest.threshold[tree, place]
        place = 2 * place + (2 if right else 1)
    return float(forest.leaf[tree, place - (2**forest.depth - 1)])


@given(seed=st.integers(0, 10**6), depth=st.integers(1, 5), groups=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_margins_are_the_sums_of_the_leaves_that_a_walk_reaches(
    seed: int, depth: int, groups: int
) -> None:
    forest = _forest(seed, depth, groups)
    rows = np.random.default_rng(seed).choice([-1.0, 0.0, 1.0, 2.0], (5, FEATURES))
    rows = rows.astype(np.float32)
    ends = np.cumsum(forest.trees)
    expected = [
        [
            forest.base[group]
            + sum(_walk(forest, tree, row) for tree in range(end - forest.trees[group], end))
            for group, end in enumerate(ends)
        ]
        for row in rows
    ]
    np.testing.assert_allclose(forest.margins(rows), expected, atol=1e-12)


def test_rows_beyond_one_block_are_evaluated_like_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forest = _forest(1, 3, 2)
    rows = np.random.default_rng(1).normal(size=(50, FEATURES)).astype(np.float32)
    whole = forest.margins(rows)
    monkeypatch.setattr("shared.model.forest._BLOCK", 1)
    assert np.array_equal(forest.margins(rows), whole)
    assert forest.margins(rows[:0]).shape == (0, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"feature": np.full((2, 3), FEATURES, np.uint8)},
        {"feature": np.zeros((2, 7), np.uint8)},
        {"threshold": np.full((2, 3), np.nan, np.float32)},
        {"threshold": np.zeros((1, 3), np.float32)},
        {"leaf": np.full((2, 4), np.inf, np.float32)},
        {"leaf": np.zeros((2, 3), np.float32)},
        {"trees": np.array([2, 0], np.int32)},
        {"trees": np.array([3, -1], np.int32)},
        {"trees": np.array([1, 2], np.int32)},
        {"trees": np.array([2], np.int32)},
        {"base": np.array([0.0, np.nan])},
        {"base": np.array([0.0, 1e7])},
        {"depth": 3},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_tables_that_do_not_fit_together_are_refused(changes: dict[str, Any]) -> None:
    sound = Forest(
        depth=2,
        feature=np.zeros((2, 3), np.uint8),
        threshold=np.zeros((2, 3), np.float32),
        leaf=np.zeros((2, 4), np.float32),
        trees=np.array([1, 1], np.int32),
        base=np.zeros(2),
    )
    sound.check(groups=2, features=FEATURES)
    with pytest.raises(ArtifactRefused):
        dataclasses.replace(sound, **changes).check(groups=2, features=FEATURES)
