"""How good forecasts were, with what chance alone would make of each number.

Rows of the same months share news, candles and models, whichever their symbol. So whatever is
pooled has its 95 % interval from drawing whole quarters of the calendar again and again, with all
symbols in them (a block bootstrap: Kuensch, Annals of Statistics 17, 1989).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.trainer.domain.blending import own_slope
from services.trainer.domain.scores import interval, roc_auc, surprise
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon
from shared.model.odds import logit
from tests.benchmarks.evaluation.walk import Column

Vector = npt.NDArray[np.float64]

_QUARTER_MS: Final = 91 * 86_400_000
_DRAWS: Final = 1000

#: A slope takes longer to find than a mean.
_SLOPES: Final = 200


class Between(NamedTuple):
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """One horizon of one symbol, or of all pooled.

    `accuracy` stands beside the share of the rows that the commoner direction of the training rows
    would have got right. `brier` and `log_loss` are those of the forecasts, less those of the share
    of rises among the training rows, and `excess` is the log loss less that of saying one half:
    below 0, the forecasts know more.
    """

    symbol: Symbol | None
    horizon: Horizon
    rows: int
    roc_auc: Between
    accuracy: float
    base_accuracy: float
    brier: Between
    log_loss: Between
    excess: Between


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How many returns the intervals held, in percent, and how many were below and above; `calm`
    and `wild` of the third of rows with the smallest and with the largest average true range.
    """

    symbol: Symbol | None
    horizon: Horizon | None
    held: Between
    below: float
    above: float
    calm: float
    wild: float
    mean_width_pct: float


class Bin(NamedTuple):
    """Forecasts of much the same probability: how many, what they said and what came, in mean."""

    rows: int
    said: float
    came: Between


def joined(parts: Sequence[Column], symbol: Symbol | None = None) -> Column:
    """Several columns of one horizon as if they were one."""
    first = parts[0]
    arrays = ("at", "p_up", "returns", "low", "high", "base", "atr_times")
    return Column(
        symbol=symbol or first.symbol,
        horizon=first.horizon,
        **{name: np.concatenate([getattr(each, name) for each in parts]) for name in arrays},
    )


def skill(column: Column, symbol: Symbol | None) -> Skill:
    """`symbol` is None where the column is of several: its ROC AUC then has its interval from the
    quarters, and else the one that the product shows.
    """
    risen, p_up, base = column.risen, column.p_up, column.base
    drawn = draws(column.at)
    area = roc_auc(risen, p_up)
    assert area is not None, "both classes are in so many rows"
    between = (
        Between(area, *interval(area, risen, p_up))
        if symbol
        else _bounds(area, [weighted_area(risen, p_up, weights) for weights in drawn])
    )
    return Skill(
        symbol=symbol,
        horizon=column.horizon,
        rows=len(risen),
        roc_auc=between,
        accuracy=float(((p_up >= 0.5) == (risen > 0.5)).mean()),
        base_accuracy=float(((base >= 0.5) == (risen > 0.5)).mean()),
        brier=mean_between((p_up - risen) ** 2 - (base - risen) ** 2, drawn),
        log_loss=mean_between(surprise(risen, p_up) - surprise(risen, base), drawn),
        excess=mean_between(surprise(risen, p_up) - np.log(2.0), drawn),
    )


def coverage(column: Column, symbol: Symbol | None, horizon: Horizon | None) -> Coverage:
    held = np.where(column.held, 100.0, 0.0)
    calm, wild = np.quantile(column.atr_times, (1 / 3, 2 / 3))
    return Coverage(
        symbol=symbol,
        horizon=horizon,
        held=mean_between(held, draws(column.at)),
        below=100.0 * float((column.returns < column.low).mean()),
        above=100.0 * float((column.returns > column.high).mean()),
        calm=float(held[column.atr_times <= calm].mean()),
        wild=float(held[column.atr_times >= wild].mean()),
        mean_width_pct=float((column.high - column.low).mean()),
    )


def reliability(column: Column, bins: int) -> list[Bin]:
    """The rows in bins of as many each, by what was said."""
    order = np.argsort(column.p_up, kind="stable")
    found = []
    for part in np.array_split(order, bins):
        risen = column.risen[part]
        came = mean_between(risen, draws(column.at[part]))
        found.append(Bin(len(part), float(column.p_up[part].mean()), came))
    return found


def slope(column: Column) -> Between | None:
    """What the served log-odds would have to be multiplied by to be right: 1 if they are."""
    found = own_slope(logit(column.p_up), column.risen > 0.5, column.horizon)
    if found is None:
        return None
    rows = np.arange(len(column.p_up))
    drawn = [
        own_slope(logit(column.p_up[again]), column.risen[again] > 0.5, column.horizon)
        for weights in draws(column.at)[:_SLOPES]
        for again in [np.repeat(rows, weights.astype(np.intp))]
    ]
    return _bounds(found.mean, [each.mean for each in drawn if each is not None])


def draws(at: npt.NDArray[np.int64]) -> list[Vector]:
    """Weights of the rows: how often their quarter was drawn. The same each time."""
    _, quarter = np.unique(at // _QUARTER_MS, return_inverse=True)
    count = int(quarter.max()) + 1
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(count, np.full(count, 1.0 / count), size=_DRAWS)
    return [times[quarter].astype(np.float64) for times in drawn]


def mean_between(values: Vector, drawn: list[Vector]) -> Between:
    found = [float(weights @ values / weights.sum()) for weights in drawn if weights.any()]
    return _bounds(float(values.mean()), found)


def weighted_area(risen: Vector, p_up: Vector, weights: Vector) -> float:
    """The ROC AUC if each row were there as often as its weight; 0.5 where one class is missing."""
    _, place = np.unique(p_up, return_inverse=True)
    ups = np.bincount(place, weights * risen)
    downs = np.bincount(place, weights * (1.0 - risen))
    pairs = ups.sum() * downs.sum()
    return float(ups @ (np.cumsum(downs) - downs / 2.0) / pairs) if pairs else 0.5


def _bounds(value: float, drawn: Sequence[float]) -> Between:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Between(value, float(low), float(high))


def by_horizon(parts: Sequence[Column]) -> dict[Horizon, list[Column]]:
    found: dict[Horizon, list[Column]] = {}
    for each in parts:
        found.setdefault(each.horizon, []).append(each)
    return found


def by_symbol(parts: Sequence[Column]) -> dict[Symbol, list[Column]]:
    found: dict[Symbol, list[Column]] = {}
    for each in parts:
        found.setdefault(each.symbol, []).append(each)
    return found
