"""Boosted trees as flat tables: perfect binary trees, walked level by level by array gathers.

Every tree has the same depth; a shallower one repeats its leaves. Node `i` of a tree sends a row to
`2 i + 2` where `row[feature[i]] >= threshold[i]`, else to `2 i + 1`; after `depth` steps the
position is a leaf. One walk covers all trees of all groups (a group is one learner's booster for
one horizon), and one row costs as many gathers as a thousand.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.contracts.errors import ArtifactRefused

MAX_DEPTH: Final = 8

#: Log-odds beyond this are damage; sums of smaller ones stay finite.
_MOST: Final = 1e6

#: How many tree positions are held at once when many rows are evaluated.
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Forest:
    """`feature` and `threshold` [trees, 2**depth - 1], `leaf` [trees, 2**depth], in log-odds.

    The trees of a group follow each other; `trees` says how many each group has (at least one), and
    `base` is the log-odds that its leaves are added to.
    """

    depth: int
    feature: npt.NDArray[np.uint8]
    threshold: npt.NDArray[np.float32]
    leaf: npt.NDArray[np.float32]
    trees: npt.NDArray[np.int32]
    base: npt.NDArray[np.float64]

    def check(self, *, groups: int, features: int) -> None:
        """Make sure that no evaluation can read outside the tables or give a number not finite.

        Raises:
            ArtifactRefused: it could.
        """
        count, nodes = len(self.feature), 2**self.depth - 1
        sound = (
            self.feature.shape == self.threshold.shape == (count, nodes)
            and self.leaf.shape == (count, nodes + 1)
            and self.trees.shape == self.base.shape == (groups,)
            and bool(np.all(self.trees >= 1))
            and int(self.trees.sum(dtype=np.int64)) == count
            and int(self.feature.max(initial=0)) < features
            and not np.any(np.isnan(self.threshold))
            and bool(np.all(np.abs(self.leaf) <= _MOST))
            and bool(np.all(np.abs(self.base) <= _MOST))
        )
        if not sound:
            raise ArtifactRefused("the trees do not fit together")

    def margins(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """The log-odds of every group for every row: [rows, features] -> [rows, groups]."""
        blocks = [self._walk(block) for block in self._blocks(rows)]
        return np.concatenate(blocks) if blocks else np.empty((0, len(self.base)))

    def _blocks(self, rows: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float32]]:
        size = max(_BLOCK // len(self.leaf), 1)
        return (rows[start : start + size] for start in range(0, len(rows), size))

    def _walk(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        flat = np.ascontiguousarray(rows).ravel()
        row = np.arange(len(rows))[:, None] * rows.shape[1]
        place = np.zeros((len(rows), len(self.leaf)), np.intp)
        for _ in range(self.depth):
            node = self._first_node + place
            right = flat.take(row + self._features.take(node)) >= self._thresholds.take(node)
            place = 2 * place + 1 + right
        leaves = self._leaves.take(self._first_leaf + place)
        margins: npt.NDArray[np.float64] = np.add.reduceat(leaves, self._first_tree, axis=1)
        return margins + self.base

    @cached_property
    def _features(self) -> npt.NDArray[np.intp]:
        return self.feature.ravel().astype(np.intp)

    @cached_property
    def _thresholds(self) -> npt.NDArray[np.float32]:
        return self.threshold.ravel()

    @cached_property
    def _leaves(self) -> npt.NDArray[np.float64]:
        return self.leaf.ravel().astype(np.float64)

    @cached_property
    def _first_node(self) -> npt.NDArray[np.intp]:
        nodes = 2**self.depth - 1
        return np.arange(0, len(self.leaf) * nodes, nodes)

    @cached_property
    def _first_leaf(self) -> npt.NDArray[np.intp]:
        """Where a tree's leaves begin, less the position of its first leaf."""
        leaves = 2**self.depth
        return np.arange(1 - leaves, (len(self.leaf) - 1) * leaves + 1, leaves)

    @cached_property
    def _first_tree(self) -> npt.NDArray[np.intp]:
        return np.concatenate([[0], np.cumsum(self.trees[:-1])]).astype(np.intp)
