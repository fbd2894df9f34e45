"""Whether a model may be shown to anyone."""

from typing import Final

import numpy as np

from services.trainer.domain.failures import Unsound
from services.trainer.domain.learners import Booster
from shared.model.artifact import Model, decode
from shared.model.candles import Candles
from shared.model.features import Matrix
from shared.model.forecast import forecast, probabilities

#: A packed booster may differ from its original by this much, in probability.
_TOLERANCE: Final = 1e-5

_CHECKED_ROWS: Final = 256


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


def check_served(artifact: bytes, candles: Candles) -> None:
    """Read the artifact back and ask it about the newest candle.

    Raises:
        Unsound: an answer that is no number.
    """
    for said in forecast(decode(artifact), candles):
        numbers = (said.p_up, said.expected_return_pct, *said.interval_pct)
        if not np.all(np.isfinite((*numbers, *said.by_learner.values()))):
            raise Unsound(f"horizon {said.horizon}: the model answers {said}")
