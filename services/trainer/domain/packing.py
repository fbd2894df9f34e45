"""From a library's own trees to packed tables, exactly.

Each library sends a row to the right on another comparison: xgboost on `x >= t` in float32,
lightgbm on `x > t` in float64, catboost on `x > t` in float32. Features are float32, so each is the
same as `x >= u` for some float32 `u`.
"""

import json
import math
import re
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
    """The nodes of trees, tree by tree, as many as `sizes` says; `left` and `right` count from the
    tree's first. `left` is `_LEAF` at a leaf; only there `value` means something.
    """

    sizes: npt.NDArray[np.int64]
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
    return Group(
        feature=np.zeros((1, 2**depth - 1), np.uint8),
        threshold=np.full((1, 2**depth - 1), np.inf, np.float32),
        leaf=np.zeros((1, 2**depth), np.float32),
        base=margin,
    )


def pack_xgboost(booster: Any, depth: int) -> Group:  # noqa: ANN401, the library has no types
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    average = float(np.float32(learner["learner_model_param"]["base_score"].strip("[]")))
    trees = learner["gradient_booster"]["model"]["trees"]

    def joined(name: str, kind: type[Any]) -> npt.NDArray[Any]:
        return np.concatenate([np.array(tree[name], kind) for tree in trees])

    conditions = joined("split_conditions", np.float32)
    nodes = _Nodes(
        sizes=np.array([len(tree["left_children"]) for tree in trees]),
        left=joined("left_children", np.int64),
        right=joined("right_children", np.int64),
        feature=joined("split_indices", np.int64),
        threshold=conditions,
        value=conditions,
    )
    return _perfect(nodes, depth, base=math.log(average / (1.0 - average)))


def pack_lightgbm(booster: Any, depth: int, *, base: float) -> Group:  # noqa: ANN401, as above
    """From its text, in which a tree has a line for each of its arrays. Inner nodes come first; a
    child below zero is the leaf of the inverted number.
    """
    text = booster.model_to_string(num_iteration=-1)

    def joined(name: str, kind: type[Any]) -> npt.NDArray[Any]:
        lines = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
        return np.array(" ".join(lines).split(), kind)

    leaves = joined("num_leaves", np.int64)
    sizes = 2 * leaves - 1
    inner = np.repeat(leaves - 1, sizes)
    is_inner = _place(sizes) < inner

    def among(values: npt.NDArray[Any], others: float) -> npt.NDArray[Any]:
        nodes = np.full(len(inner), others, values.dtype)
        nodes[is_inner] = values
        return nodes

    def child(side: str) -> npt.NDArray[np.int64]:
        nodes = joined(side, np.int64)
        return among(np.where(nodes < 0, inner[is_inner] + ~nodes, nodes), _LEAF)

    value = np.zeros(len(inner), np.float32)
    value[~is_inner] = joined("leaf_value", np.float64)
    nodes = _Nodes(
        sizes=sizes,
        left=child("left_child"),
        right=child("right_child"),
        feature=among(joined("split_feature", np.int64), 0),
        threshold=among(_lightgbm_thresholds(joined("threshold", np.float64)), 0),
        value=value,
    )
    return _perfect(nodes, depth, base=base)


def _lightgbm_thresholds(thresholds: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """It takes a value this close to zero for zero, which is above the threshold just below."""
    return np.where(thresholds == -_LIGHTGBM_ZERO, -_LIGHTGBM_ZERO, _above(thresholds))


def pack_catboost(model: dict[str, Any], depth: int) -> Group:
    """From its JSON. A tree asks the same question at every node of a level; its first question is
    the lowest bit of the leaf's number, so it stands at the last level.
    """
    trees = model["oblivious_trees"]
    scale, bias = model["scale_and_bias"]
    feature = np.zeros((len(trees), 2**depth - 1), np.uint8)
    border = np.full((len(trees), 2**depth - 1), np.inf)
    leaf = np.empty((len(trees), 2**depth), np.float32)
    for row, tree in enumerate(trees):
        splits = tree["splits"][::-1]
        for level, split in enumerate(splits):
            nodes = slice(2**level - 1, 2 ** (level + 1) - 1)
            feature[row, nodes] = split["float_feature_index"]
            border[row, nodes] = split["border"]
        values = np.array(tree["leaf_values"]) * scale
        leaf[row] = np.repeat(values, 2 ** (depth - len(splits)))
    threshold = np.where(np.isinf(border), np.float32(np.inf), _above(border))
    return Group(feature=feature, threshold=threshold, leaf=leaf, base=float(bias[0]))


def _perfect(nodes: _Nodes, depth: int, *, base: float) -> Group:
    """Lay trees out level by level, all of them at once; a leaf that comes early sends every row
    left, to itself.

    Raises:
        Unsound: a tree is deeper than `depth`.
    """
    ends = nodes.left == _LEAF
    itself = np.arange(len(ends))
    first = itself[_place(nodes.sizes) == 0]
    shift = np.repeat(first, nodes.sizes)
    left = np.where(ends, itself, nodes.left + shift)
    right = np.where(ends, itself, nodes.right + shift)
    features = np.where(ends, 0, nodes.feature)
    thresholds = np.where(ends, np.inf, nodes.threshold)

    feature, threshold, here = [], [], first[:, None]
    for _ in range(depth):
        feature.append(features[here])
        threshold.append(thresholds[here])
        here = np.stack([left[here], right[here]], axis=2).reshape(len(first), -1)
    if not np.all(ends[here]):
        raise Unsound(f"a booster has trees deeper than {depth}")
    return Group(
        feature=np.concatenate(feature, axis=1).astype(np.uint8),
        threshold=np.concatenate(threshold, axis=1).astype(np.float32),
        leaf=nodes.value[here],
        base=base,
    )


def _place(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of every node in its own tree."""
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _above(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The smallest float32 that is more: what `x > threshold` asks of a float32 `x`, as `x >=`."""
    nearest = threshold.astype(np.float32)
    following = np.nextafter(nearest, np.float32(np.inf), dtype=np.float32)
    return np.where(nearest > threshold, nearest, following)
