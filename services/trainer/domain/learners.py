"""What a learner is to the rest of the training, whichever library it comes from."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from services.trainer.domain.packing import Group
from shared.model.features import Matrix

Labels = npt.NDArray[np.float32]

#: [rows, horizons]
LabelTable = npt.NDArray[np.float32]

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How fine the trees are, and how many at most."""

    depth: int
    bins: int
    rounds: int


def effort_for(rows: int, *, rounds: int) -> Effort:
    """Few rows carry only coarse trees: at 730 rows depth 3 with 32 bins is better than depth 6
    with 256, and takes a tenth of the time.
    """
    small = rows < 3000
    return Effort(depth=3 if small else 4, bins=32 if small else 64, rounds=rounds)


class Fitted(Protocol):
    """A learner that has learnt one horizon. `rounds` are those that early stopping kept."""

    @property
    def rounds(self) -> int: ...

    def probabilities(self, rows: Matrix) -> Probabilities:
        """That the close will be higher, by the library's own code."""
        ...


class Booster(Fitted, Protocol):
    def packed(self, depth: int) -> Group: ...

    def native(self) -> bytes:
        """In the library's own format; empty for what is no library's."""
        ...


class Study(Protocol):
    """Some of a learner's rows made ready, to be learnt from once per horizon."""

    def fit(self, column: int, *, rounds: int) -> Fitted:
        """Learn the labels of this column in up to `rounds`; if the study has validation rows, in
        as many as those bear out.
        """
        ...


class BoosterStudy(Study, Protocol):
    def fit(self, column: int, *, rounds: int) -> Booster: ...


class Learner(Protocol):
    """Made with the features and labels of all rows of a job; a study says which of them it may
    learn from.
    """

    name: ClassVar[str]

    def study(self, train: range, valid: range | None = None) -> Study: ...


class BoosterLearner(Learner, Protocol):
    def study(self, train: range, valid: range | None = None) -> BoosterStudy: ...


class Refresher(Protocol):
    name: ClassVar[str]

    def refreshed(self, native: bytes, rows: Matrix, labels: Labels) -> Booster:
        """The booster of a full model, as its library wrote it, brought up to date on `rows`."""
        ...
