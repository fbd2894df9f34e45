"""Whether other parameters than the present ones would have made better signals of the forecasts.

The forecasts are those of the validation, each made by a model that had not seen its candle. They
are cut into windows. Before each of the later ones the best parameters are searched for on the
candles before it, and what these then give in it is compared with what the present ones give. What
the same search finds on all candles is adopted only where that comparison is convincing.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.trainer.domain import grid
from services.trainer.domain.adoption import Comparison, Taken, judged, result
from services.trainer.domain.paths import paths
from services.trainer.domain.replay import Replay
from shared.contracts.terms import Horizon, Timeframe
from shared.contracts.trading import ParameterSearch, SignalParameters, TradingTerms
from shared.model.candles import Candles
from shared.trading.levels import nearest

Values = npt.NDArray[np.float64]
Parameters = Sequence[SignalParameters]
Windows = Sequence[range]

WINDOWS: Final = 6
#: The first windows are only searched in, and the others compared in as well.
_ONLY_SEARCHED: Final = 2
_LEAST_ROWS: Final = 10

#: What a search may cost: a part of a second, and 50 MB.
MOST_ROWS: Final = 20_000

#: In a search, what a set gained counts less so many standard errors: what gained little, or now
#: and then, is not chosen.
_ERRORS: Final = 1.645

#: How rarely the best of all sets gains so much by luck (Bonferroni).
_BY_LUCK: Final = 0.05


def search(
    candles: Candles,
    atr_pct: Values,
    p_up: Values,
    *,
    timeframe: Timeframe,
    horizons: tuple[Horizon, ...],
    present: SignalParameters,
    terms: TradingTerms,
) -> ParameterSearch:
    """Try what is within reach of the present parameters, on the newest `MOST_ROWS` at most.

    `p_up` [rows, horizons] was foretold at the closes of the first candles, and `atr_pct` [rows]
    are their average true ranges; behind each of these candles there are as many as the longest
    horizon.
    """
    if len(p_up) < WINDOWS * _LEAST_ROWS:
        return _not_searched(present, len(p_up))
    older = max(len(p_up) - MOST_ROWS, 0)
    candles, atr_pct, p_up = candles[older:], atr_pct[older:], p_up[older:]
    present = replace(present, holding=nearest(present.holding, horizons))
    axes = grid.within_reach(present, horizons)
    levels = {*axes[0], *axes[1], present.take_profit_atr, present.stop_loss_atr}
    followed = paths(candles, atr_pct, timeframe, horizons, tuple(sorted(levels)))
    replay = Replay(followed, p_up, terms)
    windows = _windows(len(p_up))
    tried = grid.sets(axes)
    sums = _sums(replay, tried, windows)

    def best(window: int) -> SignalParameters:
        """By what was known when the window began; the present ones where nothing surely gained."""
        gained = grid.levelled(sums.surely(window, errors=_ERRORS), axes)
        place = int(np.argmax(gained))
        return tried[place] if gained[place] > 0.0 else present

    after = best(WINDOWS)
    compared = windows[_ONLY_SEARCHED:]
    chosen = [best(window) for window in range(_ONLY_SEARCHED, WINDOWS)]
    proven = sums.surely(WINDOWS, errors=NormalDist().inv_cdf(1.0 - _BY_LUCK / len(tried)))
    return judged(
        Comparison(
            tried=len(tried),
            before=present,
            after=after,
            by_luck=after in tried and bool(proven[tried.index(after)] <= 0.0),
            windows=compared,
            block=max(each.holding for each in (present, *chosen)) + 1,
            of_before=_taken(replay, [present] * len(compared), compared),
            of_chosen=_taken(replay, chosen, compared),
        )
    )


class Sums(NamedTuple):
    """Of the returns of each set in each window, of their squares, and of both as far as trades may
    not have ended with their window: [sets, windows].
    """

    total: Values
    squares: Values
    purged_total: Values
    purged_squares: Values

    def surely(self, window: int, *, errors: float) -> Values:
        """[sets]: what each set gained in the windows before this one, as far as was known when it
        began, less so many standard errors.
        """
        last = window - 1
        total = self.total[:, :window].sum(axis=1) - self.purged_total[:, last]
        squares = self.squares[:, :window].sum(axis=1) - self.purged_squares[:, last]
        gained: Values = total - errors * np.sqrt(np.maximum(squares, 0.0))
        return gained


def _sums(replay: Replay, tried: Parameters, windows: Windows) -> Sums:
    sums = np.zeros((4, len(tried) * len(windows)))
    for lane, _, net_pct, purged in replay.trades(tried, windows):
        both = np.stack([net_pct, net_pct**2])
        sums[:2, lane] += both
        sums[2:, lane] += np.where(purged, both, 0.0)
    return Sums(*sums.reshape(4, len(tried), len(windows)))


def _taken(replay: Replay, chosen: Parameters, windows: Windows) -> Taken:
    """The trades of the first set in the first window, of the second in the second, and so on."""
    rows, net_pcts = [np.empty(0, np.intp)], [np.empty(0)]
    for lane, row, net_pct, _ in replay.trades(chosen, windows):
        number, window = np.divmod(lane, len(windows))
        rows.append(row[number == window])
        net_pcts.append(net_pct[number == window])
    return Taken(np.concatenate(rows), np.concatenate(net_pcts))


def _windows(rows: int) -> list[range]:
    edges = [rows * number // WINDOWS for number in range(WINDOWS + 1)]
    return [range(start, stop) for start, stop in pairwise(edges)]


def _not_searched(present: SignalParameters, rows: int) -> ParameterSearch:
    nothing = result(np.empty(0))
    return ParameterSearch(
        adopted=False,
        note=f"{rows} unseen candles are too few to search on: {WINDOWS * _LEAST_ROWS} are needed",
        tried=0,
        folds=0,
        folds_better=0,
        before=present,
        after=present,
        before_result=nothing,
        after_result=nothing,
    )
