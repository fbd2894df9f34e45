"""What sets of parameters would have given: every trade of each set, one after the other.

The rules are those that the predictor trades by: levels, costs and expiry of
`shared.trading.levels`, ends of `shared.trading.settlement`, one signal at a time, and the cooldown
between two. Of the filters, only those are applied that look at the forecast and the levels, which
are confidence and net profit; the others are for the account to decide.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.trainer.domain.paths import Counts, Paths, Values
from shared.contracts.trading import SignalParameters, TradingTerms

Flags = npt.NDArray[np.bool_]

_DAY_MS: Final = 86_400_000

#: A stake without leverage is all that can be lost.
_ALL_PCT: Final = -100.0


class Trades(NamedTuple):
    """At most one trade of each lane: the row at whose close it was decided, and its return in
    percent of the price, after costs. `purged`: it may not have ended when its window does.
    """

    lane: Counts
    row: Counts
    net_pct: Values
    purged: Flags


class _Sets(NamedTuple):
    """Parameters as places in the tables of the paths, and in `following` [kinds, rows + 1]: the
    first row from this one on whose close gives a signal, and the number of rows where none does.
    """

    take_profit: Counts
    stop_loss: Counts
    horizon: Counts
    kind: Counts
    following: Counts


class _End(NamedTuple):
    """How trades end: the price, the candle, and whether at its open or at its close."""

    price: Values
    candle: Counts
    at_open: Flags


class Replay:
    """`p_up` [rows, horizons] was foretold at the close of each row of the paths."""

    def __init__(self, paths: Paths, p_up: Values, terms: TradingTerms) -> None:
        self._paths = paths
        self._terms = terms
        self._way = np.where(p_up.T >= 0.5, 1.0, -1.0)
        self._confidence = np.maximum(p_up, 1.0 - p_up).T
        self._levels = np.array(paths.levels)
        at, cooldown = paths.candles["at"], terms.signal_cooldown_candles
        rested = [max(cooldown - 1, 0), cooldown]
        #: The first row that may give a signal again: [ended at its close, candle].
        self._again = np.searchsorted(
            at[: paths.rows], at + np.array(rested)[:, None] * paths.timeframe_ms
        )

    def trades(
        self, parameters: Sequence[SignalParameters], windows: Sequence[range]
    ) -> Iterator[Trades]:
        """All trades of every set in every window of rows. Lane `i * len(windows) + j` is the i-th
        set in the j-th window, which it begins without a position.
        """
        sets = self._sets(parameters)
        lane = np.arange(len(parameters) * len(windows))
        own, window = np.divmod(lane, len(windows))
        row = np.array([each.start for each in windows])[window]
        stop = np.array([each.stop for each in windows])[window]
        horizons = np.array(self._paths.horizons)
        while True:
            row = sets.following[sets.kind[own], row]
            going = row < stop
            if not going.any():
                return
            lane, own, row, stop = lane[going], own[going], row[going], stop[going]
            horizon = sets.horizon[own]
            end, missed = self._ends(row, sets.take_profit[own], sets.stop_loss[own], horizon)
            taken = ~missed
            net_pct = self._net_pct(self._way[horizon, row], row, end)
            purged = row + horizons[horizon] >= stop
            yield Trades(lane[taken], row[taken], net_pct[taken], purged[taken])
            row = self._again[np.where(end.at_open, 0, 1), end.candle]

    def _sets(self, parameters: Sequence[SignalParameters]) -> _Sets:
        levels, horizons = self._paths.levels, self._paths.horizons
        take_profit = [levels.index(each.take_profit_atr) for each in parameters]
        stop_loss = [levels.index(each.stop_loss_atr) for each in parameters]
        horizon = [horizons.index(each.holding) for each in parameters]
        sure = [max(e.min_confidence, self._terms.min_confidence_threshold) for e in parameters]
        kinds = list(zip(take_profit, horizon, sure, strict=True))
        places = {kind: place for place, kind in enumerate(dict.fromkeys(kinds))}
        return _Sets(
            take_profit=np.array(take_profit),
            stop_loss=np.array(stop_loss),
            horizon=np.array(horizon),
            kind=np.array([places[kind] for kind in kinds]),
            following=np.stack([self._following(*kind) for kind in places]),
        )

    def _following(self, take_profit: int, horizon: int, sure: float) -> Counts:
        rows = self._paths.rows
        close = self._paths.candles["close"][:rows]
        way = self._way[horizon]
        target = close + way * self._levels[take_profit] * self._paths.atr
        net_pct = self._left_pct(way, target / close)
        enough = (net_pct >= self._terms.min_net_profit_pct) & (net_pct > 0.0)
        gives = enough & (self._confidence[horizon] >= sure)
        first = np.where(gives, np.arange(rows), rows)[::-1]
        return np.append(np.minimum.accumulate(first)[::-1], rows)

    def _ends(
        self, row: Counts, take_profit: Counts, stop_loss: Counts, horizon: Counts
    ) -> tuple[_End, Flags]:
        """How signals of these rows end, and which of them are missed."""
        paths, candles = self._paths, self._paths.candles
        way, close, atr = self._way[horizon, row], candles["close"][row], paths.atr[row]
        target = close + way * self._levels[take_profit] * atr
        stop = close - way * self._levels[stop_loss] * atr
        up = way > 0.0
        reached = np.where(up, paths.above[take_profit, row], paths.below[take_profit, row])
        stopped = np.where(up, paths.below[stop_loss, row], paths.above[stop_loss, row])

        first, last, late = (
            np.minimum(reached, stopped),
            paths.last[horizon, row],
            paths.late[horizon, row],
        )
        candle = row + np.minimum(first, last)
        opened = candles["open"][candle]
        gapped_down, gapped_up = way * (opened - stop) <= 0.0, way * (opened - target) >= 0.0
        by_level = (first < last) | ((first == last) & ~late)
        expired_late = late & ~by_level
        price = np.select(
            [gapped_down | expired_late & ~gapped_up, gapped_up, ~by_level, stopped == first],
            [opened, target, candles["close"][candle], stop],
            target,
        )
        at_open = gapped_down | gapped_up | expired_late
        missed = at_open & (candle == row + 1)
        return _End(price, candle, at_open), missed

    def _net_pct(self, way: Values, row: Counts, end: _End) -> Values:
        at, entry = self._paths.candles["at"], self._paths.candles["open"][row + 1]
        ended_ms = at[end.candle] + np.where(end.at_open, 0, self._paths.timeframe_ms)
        days = (ended_ms - at[row + 1]) / _DAY_MS
        left = self._left_pct(way, end.price / entry) - days * self._terms.funding_pct_per_day
        net_pct: Values = np.maximum(left, _ALL_PCT)
        return net_pct

    def _left_pct(self, way: Values, grown: Values) -> Values:
        """Of 100 that were entered, when the price is so many times the entry's."""
        one_way = self._terms.fee_pct + self._terms.slippage_pct
        left: Values = 100.0 * way * (grown - 1.0) - one_way * (1.0 + grown)
        return left
