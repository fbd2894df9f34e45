"""Whether a model may be shown to anyone."""

from typing import Final

import numpy as np

from services.trainer.domain.failures import Unsound
from services.trainer.domain.learners import Booster
from shared.contracts.errors import ArtifactRefused
from shared.model.artifact import Model, encode
from shared.model.features import Matrix
from shared.model.forecast import probabilities

#: A packed booster may differ from its original by this much, in probability.
_TOLERANCE: Final = 1e-5

_CHECKED_ROWS: Final = 256

#: What one model may cost those who serve it: the size of its file, and its trees, which decide how
#: long a forecast takes (so many, two milliseconds).
_MOST_BYTES: Final = 16 << 20
_MOST_TREES: Final = 100_000


def check_packed(model: Model, fitted: list[list[Booster]], features: Matrix) -> None:
    """Compare the packed boosters, [horizons][boosters], with the libraries' own code, on rows
    spread over `features`.

    Raises:
        Unsound: they differ, or give something that is no number.
    """
    spread = np.linspace(0, len(features) - 1, _CHECKED_ROWS).astype(np.intp)
    rows = features[np.unique(spread)]
    packed = probabilities(model, rows).by_learner
    for row, boosters in enumerate(fitted):
        for column, booster in enumerate(boosters):
            gap = np.abs(packed[:, row, column] - booster.probabilities(rows)).max()
            if not gap <= _TOLERANCE:
                raise Unsound(
                    f"{model.card.boosters[column]}, horizon {model.card.horizons[row]}: "
                    f"the packed trees differ by {gap:g} from the library's own"
                )


def sound_artifact(model: Model) -> bytes:
    """The model's file, read back once.

    Raises:
        Unsound: a number in it is not finite or beyond reason, so that a reader would refuse it;
            or it is too large, or too slow.
    """
    trees = len(model.forest.leaf)
    if trees > _MOST_TREES:
        raise Unsound(f"{trees} trees; a model may have {_MOST_TREES}")
    try:
        artifact = encode(model)
    except ArtifactRefused as exc:
        raise Unsound(f"the model cannot be served: {exc}") from exc
    if len(artifact) > _MOST_BYTES:
        raise Unsound(f"a file of {len(artifact)} bytes; a model's may have {_MOST_BYTES}")
    return artifact
