"""Which parameters there are to choose from, and which of them are near each other."""

from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.contracts.terms import Horizon
from shared.contracts.trading import SignalParameters

Values = npt.NDArray[np.float64]

#: Take-profit and stop-loss, in average true ranges.
LEVELS: Final = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
#: Calibrated forecasts are rarely far from one half.
CONFIDENCES: Final = (0.5, 0.51, 0.52, 0.53, 0.54, 0.56, 0.58, 0.6, 0.65, 0.7)

#: How many places one search may move each parameter: what is live changes in steps.
REACH: Final = 2

Axes = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[Horizon, ...]]


def within_reach(present: SignalParameters, horizons: tuple[Horizon, ...]) -> Axes:
    """What each parameter may become: the places around that which is nearest to its own."""
    return (
        _around(LEVELS, present.take_profit_atr),
        _around(LEVELS, present.stop_loss_atr),
        _around(CONFIDENCES, present.min_confidence),
        tuple(map(int, _around(horizons, present.holding))),
    )


def sets(axes: Axes) -> tuple[SignalParameters, ...]:
    """Every combination, the last axis fastest."""
    return tuple(
        SignalParameters(
            take_profit_atr=take_profit,
            stop_loss_atr=stop_loss,
            min_confidence=min_confidence,
            holding=holding,
        )
        for take_profit, stop_loss, min_confidence, holding in product(*axes)
    )


def levelled(values: Values, axes: Axes) -> Values:
    """The mean of each set's value and those of the sets beside it, which count half, a quarter or
    an eighth as much, by how many parameters differ. A set that is good by luck stands alone; where
    there is something to be found, its neighbours find it too. Sets of different horizons follow
    different forecasts, and are no neighbours.
    """
    table = values.reshape([len(axis) for axis in axes])
    for axis in range(table.ndim - 1):
        table = _beside(table, axis) / _beside(np.ones_like(table), axis)
    return table.reshape(-1)


def _beside(table: Values, axis: int) -> Values:
    """Twice each value and once those next to it, along one axis."""
    values = np.moveaxis(table, axis, 0)
    total = 2.0 * values
    total[1:] += values[:-1]
    total[:-1] += values[1:]
    return np.moveaxis(total, 0, axis)


def _around(places: tuple[float, ...], value: float) -> tuple[float, ...]:
    centre = min(range(len(places)), key=lambda place: abs(places[place] - value))
    return places[max(centre - REACH, 0) : centre + REACH + 1]
