"""How far an ensemble's log-odds are to be believed, as the models of other symbols bear it out.

The slope of a calibration is 1 where they are right as they are, and less where they are too bold.
The test rows of one symbol seldom say which; those of many symbols together do. No numpy here: the
trainer's own process reads this.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.contracts.records import Score
from shared.contracts.terms import Horizon


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """What is thought of one slope: the mean and the standard deviation of a normal distribution.

    It is what is expected before a symbol's own rows have spoken, or what these alone say.
    """

    mean: float
    spread: float

    @property
    def precision(self) -> float:
        return self.spread**-2


Slopes = Mapping[Horizon, Slope]

#: Expected where there is no other symbol: learners are too bold more often than too shy.
UNKNOWN: Final = Slope(mean=0.5, spread=0.5)

#: How much symbols differ is taken to be `UNKNOWN`'s spread until more than so many have shown it.
_ALIKE: Final = 2.0


def borne_out(scores: Iterable[Score]) -> Slopes:
    """What the rows behind a model's scores say, for those horizons of which they do."""
    return {
        score.horizon: Slope(mean=score.slope, spread=score.slope_error)
        for score in scores
        if score.slope is not None and score.slope_error is not None
    }


def expected_beside(others: Collection[Slopes], horizons: Iterable[Horizon]) -> Slopes:
    """What is to be expected of one more symbol, from what the rows of each of the others say."""
    return {
        horizon: expected([slopes[horizon] for slopes in others if horizon in slopes])
        for horizon in horizons
    }


def expected(found: Sequence[Slope]) -> Slope:
    """The slope of one more symbol, from what the rows of others say of theirs.

    Slopes are taken to differ from symbol to symbol, besides the errors of finding them; both the
    mean and the variance between symbols are DerSimonian's and Laird's (Controlled Clinical Trials
    7, 1986), as if `UNKNOWN` were the mean of one more symbol and the variance of `_ALIKE` more.
    """
    between = _between(found)
    weights = [1.0 / (slope.spread**2 + between) for slope in found]
    first = 1.0 / (UNKNOWN.spread**2 + between)
    total = first + sum(weights)
    pull = sum(weight * slope.mean for weight, slope in zip(weights, found, strict=True))
    return Slope(
        mean=(first * UNKNOWN.mean + pull) / total, spread=float((between + 1.0 / total) ** 0.5)
    )


def _between(found: Sequence[Slope]) -> float:
    """The variance of slopes between symbols."""
    more = len(found) - 1
    if more < 1:
        return UNKNOWN.spread**2
    weights = [slope.precision for slope in found]
    total = sum(weights)
    pairs = list(zip(weights, found, strict=True))
    mean = sum(weight * slope.mean for weight, slope in pairs) / total
    scatter = sum(weight * (slope.mean - mean) ** 2 for weight, slope in pairs)
    uneven = total - sum(weight**2 for weight in weights) / total
    seen = max((scatter - more) / uneven, 0.0)
    return (more * seen + _ALIKE * UNKNOWN.spread**2) / (more + _ALIKE)
