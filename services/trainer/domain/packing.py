"""From a library's own trees to packed tables, exactly.

Each library sends a row to the right on another comparison: xgboost on `x >= t` in float32,
lightgbm on `x > t` in float64, catboost on `x > t` in float32. Features are float32, so each is the
same as `x >= u` for some float32 `u`.
"""

import json
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.trainer.domain.failures import Unsound
from shared.model.forest import Forest

_LEAF: Final = -1

_LIGHTGBM_ZERO: Final = np.float32(1e-35)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The trees of one booster, as in `Forest`, and the log-odds they are added to."""

    feature: npt.NDArray[np.uint8]
    threshold: npt.NDArray[np.float32]
    leaf: npt.NDArray[np.float32]
    base: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nodes:
    """Trees node by node. `left` is `_LEAF` at a leaf; only there `value` means something."""

    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float32]
    value: npt.NDArray[np.float32]


def forest(groups: list[Group], depth: int) -> Forest:
    return Forest(
        depth=depth,
        feature=np.concatenate([group.feature for group in groups]),
        threshold=np.concatenate([group.threshold for group in groups]),
        leaf=np.concatenate([group.leaf for group in groups]),
        trees=np.array([len(group.leaf) for group in groups], np.int32),
        base=np.array([group.base for group in groups], np.float64),
    )


def pack_constant(margin: float, depth: int) -> Group:
    """A booster that says the same of every row."""
    return _perfect([_leaf_only(0.0)], depth, base=margin)


def pack_xgboost(booster: Any, depth: int) -> Group:  # noqa: ANN401, the library has no types
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    average = float(np.float32(learner["learner_model_param"]["base_score"].strip("[]")))
    trees = [
        _Nodes(
            left=np.array(tree["left_children"], np.int64),
            right=np.array(tree["right_children"], np.int64),
            feature=np.array(tree["split_indices"], np.int64),
            threshold=np.array(tree["split_conditions"], np.float32),
            value=np.array(tree["split_conditions"], np.float32),
        )
        for tree in learner["gradient_booster"]["model"]["trees"]
    ]
    return _perfect(trees, depth, base=math.log(average / (1.0 - average)))


def pack_lightgbm(booster: Any, depth: int, *, base: float) -> Group:  # noqa: ANN401, as above
    texts = booster.model_to_string(num_iteration=-1).split("\nTree=")[1:]
    return _perfect([_lightgbm_tree(text) for text in texts], depth, base=base)


def _lightgbm_tree(text: str) -> _Nodes:
    """Its inner nodes come first; a child below zero is the leaf of the inverted number."""
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    value = np.array(lines["leaf_value"].split(), np.float64)
    inner = int(lines["num_leaves"]) - 1
    if not inner:
        return _leaf_only(float(value[0]))

    def children(side: str) -> npt.NDArray[np.int64]:
        nodes = np.array(lines[side].split(), np.int64)
        return _then(np.where(nodes < 0, inner + ~nodes, nodes), len(value), _LEAF)

    return _Nodes(
        left=children("left_child"),
        right=children("right_child"),
        feature=_then(np.array(lines["split_feature"].split(), np.int64), len(value), 0),
        threshold=_then(_lightgbm_thresholds(lines["threshold"]), len(value), 0),
        value=np.concatenate([np.zeros(inner), value]).astype(np.float32),
    )


def _lightgbm_thresholds(text: str) -> npt.NDArray[np.float32]:
    """It takes a value this close to zero for zero, which is above the threshold just below."""
    thresholds = np.array(text.split(), np.float64)
    return np.where(thresholds == -_LIGHTGBM_ZERO, -_LIGHTGBM_ZERO, _above(thresholds))


def pack_catboost(model: dict[str, Any], depth: int) -> Group:
    """From its JSON. A tree asks the same question at every node of a level; its first question is
    the lowest bit of the leaf's number, so it stands at the last level.
    """
    trees = model["oblivious_trees"]
    scale, bias = model["scale_and_bias"]
    feature = np.zeros((len(trees), 2**depth - 1), np.uint8)
    threshold = np.full((len(trees), 2**depth - 1), np.inf, np.float32)
    leaf = np.empty((len(trees), 2**depth), np.float32)
    for row, tree in enumerate(trees):
        splits = tree["splits"][::-1]
        for level, split in enumerate(splits):
            nodes = slice(2**level - 1, 2 ** (level + 1) - 1)
            feature[row, nodes] = split["float_feature_index"]
            threshold[row, nodes] = _above(np.array(split["border"]))
        values = np.array(tree["leaf_values"]) * scale
        leaf[row] = np.repeat(values, 2 ** (depth - len(splits)))
    return Group(feature=feature, threshold=threshold, leaf=leaf, base=float(bias[0]))


def _leaf_only(value: float) -> _Nodes:
    return _Nodes(
        left=np.array([_LEAF]),
        right=np.array([_LEAF]),
        feature=np.array([0]),
        threshold=np.array([0.0], np.float32),
        value=np.array([value], np.float32),
    )


def _perfect(trees: list[_Nodes], depth: int, *, base: float) -> Group:
    """Lay trees out level by level, all of them at once; a leaf that comes early sends every row
    left, to itself.

    Raises:
        Unsound: a tree is deeper than `depth`.
    """
    sizes = np.array([len(tree.left) for tree in trees])
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    shift = np.repeat(first, sizes)
    left = np.concatenate([tree.left for tree in trees])
    right = np.concatenate([tree.right for tree in trees])
    features = np.concatenate([tree.feature for tree in trees])
    thresholds = np.concatenate([tree.threshold for tree in trees])
    values = np.concatenate([tree.value for tree in trees])
    ends = left == _LEAF
    itself = np.arange(len(left))
    left, right = np.where(ends, itself, left + shift), np.where(ends, itself, right + shift)
    features, thresholds = np.where(ends, 0, features), np.where(ends, np.inf, thresholds)

    feature, threshold, nodes = [], [], first[:, None]
    for _ in range(depth):
        feature.append(features[nodes])
        threshold.append(thresholds[nodes])
        nodes = np.stack([left[nodes], right[nodes]], axis=2).reshape(len(trees), -1)
    if not np.all(ends[nodes]):
        raise Unsound(f"a booster has trees deeper than {depth}")
    return Group(
        feature=np.concatenate(feature, axis=1).astype(np.uint8),
        threshold=np.concatenate(threshold, axis=1).astype(np.float32),
        leaf=values[nodes],
        base=base,
    )


def _above(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The smallest float32 that is more: what `x > threshold` asks of a float32 `x`, as `x >=`."""
    nearest = threshold.astype(np.float32)
    following = np.nextafter(nearest, np.float32(np.inf), dtype=np.float32)
    return np.where(nearest > threshold, nearest, following)


def _then(inner: npt.NDArray[Any], leaves: int, filler: int) -> npt.NDArray[Any]:
    return np.concatenate([inner, np.full(leaves, filler, inner.dtype)])
