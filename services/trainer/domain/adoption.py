"""Whether what a search has found takes the place of the present parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.trainer.domain.evidence import lower_bound
from shared.contracts.trading import Backtest, ParameterSearch, SignalParameters

Values = npt.NDArray[np.float64]

#: With fewer trades their mean is not known well enough to judge by.
MIN_TRADES: Final = 30

#: How much more each trade must give than the present parameters do, in percent of the price: for
#: less it is not worth that what is live becomes something else.
MARGIN_PCT: Final = 0.05


class Taken(NamedTuple):
    """Trades: the rows at whose closes they were decided, and their returns in percent."""

    row: npt.NDArray[np.intp]
    net_pct: Values

    def by_row(self, windows: Sequence[range]) -> Values:
        """What was gained by each row of the windows; 0 where no trade was decided."""
        first = windows[0].start
        gained = np.zeros(windows[-1].stop - first)
        gained[self.row - first] = self.net_pct
        return gained


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """`by_luck`: the best of so many sets gains as much on all rows where none gains anything.
    `block` are the rows that one trade may touch.
    """

    tried: int
    before: SignalParameters
    after: SignalParameters
    by_luck: bool
    windows: Sequence[range]
    block: int
    of_before: Taken
    of_chosen: Taken

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


def judged(c: Comparison) -> ParameterSearch:
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
        before_result=result(c.of_before.net_pct),
        after_result=result(c.of_chosen.net_pct),
    )


def _objection(c: Comparison) -> str | None:
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


def result(net_pct: Values) -> Backtest:
    return Backtest(
        trades=len(net_pct),
        hit_rate=float((net_pct > 0.0).mean()) if len(net_pct) else None,
        mean_net_pct=float(net_pct.mean()) if len(net_pct) else None,
        total_net_pct=float(net_pct.sum()),
    )
