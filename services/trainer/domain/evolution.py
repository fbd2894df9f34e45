"""Whether other parameters than the present ones would have made better signals of the forecasts.

The forecasts are those of the validation, each made by a model that had not seen its candle. They
are cut into windows. Before each of the later ones the best parameters are searched for on the
candles before it, and what these then give in it is compared with what the present ones give. What
the same search finds on all candles is adopted only where that comparison is convincing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.trainer.domain import grid
from services.trainer.domain.evidence import lower_bound
from services.trainer.domain.paths import paths
from services.trainer.domain.replay import Replay
from shared.contracts.terms import Horizon, Timeframe
from shared.contracts.trading import Backtest, ParameterSearch, SignalParameters, TradingTerms
from shared.model.candles import Candles
from shared.trading.levels import nearest

Values = npt.NDArray[np.float64]
Parameters = Sequence[SignalParameters]
Windows = Sequence[range]

WINDOWS: Final = 6
#: The first windows are only searched in, and the others compared in as well.
_ONLY_SEARCHED: Final = 2
_LEAST_ROWS: Final = 10

#: With fewer trades their mean is not known well enough to judge by.
MIN_TRADES: Final = 30

#: How much more each trade must give than the present parameters do, in percent of the price: for
#: less it is not worth that what is live becomes something else.
MARGIN_PCT: Final = 0.05

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
    """Try what is within reach of the present parameters.

    `p_up` [rows, horizons] was foretold at the closes of the first candles, and `atr_pct` [rows]
    are their average true ranges; behind each of these candles there are as many as the longest
    horizon.
    """
    if len(p_up) < WINDOWS * _LEAST_ROWS:
        return _not_searched(present, len(p_up))
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
    return _judged(
        _Comparison(
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


class _Sums(NamedTuple):
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


def _sums(replay: Replay, tried: Parameters, windows: Windows) -> _Sums:
    sums = np.zeros((4, len(tried) * len(windows)))
    for lane, _, net_pct, purged in replay.trades(tried, windows):
        both = np.stack([net_pct, net_pct**2])
        sums[:2, lane] += both
        sums[2:, lane] += np.where(purged, both, 0.0)
    return _Sums(*sums.reshape(4, len(tried), len(windows)))


class _Taken(NamedTuple):
    """Trades: the rows at whose closes they were decided, and their returns in percent."""

    row: npt.NDArray[np.intp]
    net_pct: Values

    def by_row(self, windows: Windows) -> Values:
        """What was gained by each row of the windows; 0 where no trade was decided."""
        first = windows[0].start
        gained = np.zeros(windows[-1].stop - first)
        gained[self.row - first] = self.net_pct
        return gained


def _taken(replay: Replay, chosen: Parameters, windows: Windows) -> _Taken:
    """The trades of the first set in the first window, of the second in the second, and so on."""
    rows, net_pcts = [np.empty(0, np.intp)], [np.empty(0)]
    for lane, row, net_pct, _ in replay.trades(chosen, windows):
        number, window = np.divmod(lane, len(windows))
        rows.append(row[number == window])
        net_pcts.append(net_pct[number == window])
    return _Taken(np.concatenate(rows), np.concatenate(net_pcts))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Comparison:
    """`by_luck`: the best of so many sets gains as much on all rows where none gains anything.
    `block` are the rows that one trade may touch.
    """

    tried: int
    before: SignalParameters
    after: SignalParameters
    by_luck: bool
    windows: Windows
    block: int
    of_before: _Taken
    of_chosen: _Taken

    @property
    def gain_pct(self) -> float:
        """More than the present parameters, for each trade."""
        more = float(self.of_chosen.net_pct.sum() - self.of_before.net_pct.sum())
        return more / len(self.of_chosen.row)

    @property
    def windows_better(self) -> int:
        first = self.windows[0].start
        more = self.of_chosen.by_row(self.windows) - self.of_before.by_row(self.windows)
        return sum(bool(more[w.start - first : w.stop - first].sum() > 0) for w in self.windows)

    @property
    def convincing(self) -> bool:
        """Whether they surely gain something, and surely more than the present ones."""
        chosen, before = (t.by_row(self.windows) for t in (self.of_chosen, self.of_before))
        least = [lower_bound(gained, self.block) for gained in (chosen, chosen - before)]
        return all(bound is not None and bound > 0.0 for bound in least)


def _judged(c: _Comparison) -> ParameterSearch:
    objection = _objection(c)
    return ParameterSearch(
        adopted=objection is None,
        note=objection
        or f"each trade gives {c.gain_pct:.2f} % more than with the present parameters, and "
        f"{c.windows_better} of {len(c.windows)} windows are better",
        tried=c.tried,
        folds=len(c.windows),
        folds_better=c.windows_better,
        before=c.before,
        after=c.after,
        before_result=_result(c.of_before.net_pct),
        after_result=_result(c.of_chosen.net_pct),
    )


def _objection(c: _Comparison) -> str | None:
    """Why the present parameters stay; None if nothing speaks for them."""
    trades = len(c.of_chosen.row)
    if c.after == c.before:
        return "nothing within reach is surely better than the present parameters"
    if trades < MIN_TRADES:
        return f"{trades} trades are too few to judge by: {MIN_TRADES} are needed"
    if c.by_luck:
        return f"the best of {c.tried} sets would look as good by luck"
    if c.gain_pct < MARGIN_PCT:
        return f"each trade gives {c.gain_pct:.2f} % more: {MARGIN_PCT} % are asked for"
    if 2 * c.windows_better <= len(c.windows):
        return f"only {c.windows_better} of {len(c.windows)} windows are better"
    if not c.convincing:
        return "that anything is gained is less than 99 % sure"
    return None


def _result(net_pct: Values) -> Backtest:
    return Backtest(
        trades=len(net_pct),
        hit_rate=float((net_pct > 0.0).mean()) if len(net_pct) else None,
        mean_net_pct=float(net_pct.mean()) if len(net_pct) else None,
        total_net_pct=float(net_pct.sum()),
    )


def _windows(rows: int) -> list[range]:
    edges = [rows * number // WINDOWS for number in range(WINDOWS + 1)]
    return [range(start, stop) for start, stop in pairwise(edges)]


def _not_searched(present: SignalParameters, rows: int) -> ParameterSearch:
    nothing = _result(np.empty(0))
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
