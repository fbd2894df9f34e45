"""Which rows are learnt from and which are judged on: expanding walk-forward with purge gaps.

    fold 1   |----- train -----|purge| valid |purge| test |
    fold 2   |-------- train --------|purge| valid |purge| test |

A label looks `purge` rows ahead, so that many rows are left out wherever one part ends and a later
one begins; otherwise the last labels of the one would be made of candles of the other. Early
stopping looks at `valid` and never at `test`.

There is no embargo. It would keep out training rows that follow a test block, whose features are
made of the candles of its labels; but no fold learns from anything after its own test block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from shared.contracts.errors import NotEnoughHistory
from shared.contracts.terms import Horizon

MAX_FOLDS: Final = 4
MIN_TRAIN: Final = 40
MIN_VALID: Final = 20
MIN_TEST: Final = 10

#: One in so many of the rows that a fold may learn from is what early stopping looks at.
_VALID_SHARE: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Row ranges; each starts `purge` rows or more after the one before has ended."""

    train: range
    valid: range
    test: range


def walk_forward(rows: int, *, test_rows: int, purge: int) -> tuple[Fold, ...]:
    """Split `rows` labelled rows, oldest first, into up to `MAX_FOLDS` expanding folds.

    The test blocks are `test_rows` long, at least `MIN_TEST`, and the last ends with the last row.
    A history too short for one whole block gets one shorter block.

    Raises:
        NotEnoughHistory: no block of `MIN_TEST` rows has enough rows before it.
    """
    spare = rows - (MIN_TRAIN + purge + MIN_VALID + purge)
    if spare < MIN_TEST:
        raise NotEnoughHistory(
            f"{rows} labelled rows; training with labels {purge} candles ahead needs "
            f"{rows - spare + MIN_TEST}"
        )
    size = min(max(test_rows, MIN_TEST), spare)
    folds = min(spare // size, MAX_FOLDS)
    return tuple(_folds(rows, folds, size, purge))


def _folds(rows: int, folds: int, size: int, purge: int) -> Iterator[Fold]:
    for start in range(rows - folds * size, rows, size):
        known = start - purge
        valid = max((known - purge) // _VALID_SHARE, MIN_VALID)
        yield Fold(
            train=range(known - valid - purge),
            valid=range(known - valid, known),
            test=range(start, start + size),
        )


def feasible(rows: int, horizons: tuple[Horizon, ...], *, test_rows: int) -> tuple[Horizon, ...]:
    """The horizons that `rows` rows are enough for, when the longest of them sets the purge.

    Raises:
        NotEnoughHistory: not even the shortest.
    """
    kept = tuple(sorted(set(horizons)))
    while True:
        try:
            walk_forward(rows - kept[-1], test_rows=test_rows, purge=kept[-1])
        except NotEnoughHistory:
            if len(kept) == 1:
                raise
            kept = kept[:-1]
        else:
            return kept
