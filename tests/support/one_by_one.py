"""Parameters tried out with the predictor's own rules, one candle and one signal at a time."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from shared.contracts.configuration import Configuration
from shared.contracts.terms import Direction, Horizon, Timeframe
from shared.contracts.trading import Exit, Outcome, Signal, SignalParameters, TradingTerms
from shared.model.candles import Candles
from shared.trading.levels import expiry, levels, net_profit_pct, side_of
from shared.trading.settlement import settle
from tests.support.signals import signal

Values = npt.NDArray[np.float64]

#: In cents, so that rounding to whole ones is nothing.
_STAKE = 10**14


class Account:
    """What a predictor does at the close of each candle, of one symbol and one forecast."""

    def __init__(
        self,
        candles: Candles,
        timeframe: Timeframe,
        parameters: SignalParameters,
        terms: TradingTerms,
    ) -> None:
        self.trades: dict[int, float] = {}
        self._rows = candles.tolist()
        self._timeframe = timeframe
        self._parameters = parameters
        self._terms = terms
        self._rules = Configuration(
            **{field.name: getattr(terms, field.name) for field in fields(TradingTerms)}
        )
        self._open: tuple[int, Signal] | None = None
        self._ended_at: datetime | None = None

    def close(self, row: int, p_up: float, atr_pct: float) -> None:
        self._settle(self._rows[: row + 1])
        if self._open or not self._rested(row):
            return
        side = side_of(Direction.UP if p_up >= 0.5 else Direction.DOWN)
        at_ms, _, _, _, close, _ = self._rows[row]
        prices = levels(side, close, atr_pct, self._parameters)
        profit = net_profit_pct(side, prices.entry, prices.take_profit, self._rules)
        sure = max(self._parameters.min_confidence, self._terms.min_confidence_threshold)
        if max(p_up, 1.0 - p_up) < sure or profit < self._terms.min_net_profit_pct or profit <= 0.0:
            return
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        given = signal(
            side,
            timeframe=self._timeframe,
            candle_at=at,
            expires_at=expiry(at, self._timeframe, self._parameters.holding),
            take_profit=prices.take_profit,
            stop_loss=prices.stop_loss,
            leverage=1.0,
            stake_cents=_STAKE,
            fee_pct=self._terms.fee_pct,
            slippage_pct=self._terms.slippage_pct,
            funding_pct_per_day=self._terms.funding_pct_per_day,
        )
        self._open = row, given

    def finish(self) -> None:
        """See what becomes of the last signal."""
        self._settle(self._rows)

    def _settle(self, known: list[tuple[int, float, float, float, float, float]]) -> None:
        if self._open is None:
            return
        row, given = self._open
        outcome = settle(given, known)
        if outcome is not None:
            self._open, self._ended_at = None, outcome.exit_at
            self._note(row, outcome)

    def _note(self, row: int, outcome: Outcome) -> None:
        if outcome.exit is not Exit.MISSED:
            self.trades[row] = 100.0 * outcome.profit_cents / _STAKE

    def _rested(self, row: int) -> bool:
        if self._ended_at is None:
            return True
        closed_at = datetime.fromtimestamp(self._rows[row][0] / 1000, UTC) + timedelta(
            seconds=self._timeframe.seconds
        )
        candles = (closed_at - self._ended_at) // timedelta(seconds=self._timeframe.seconds)
        return candles >= self._terms.signal_cooldown_candles


def trades_of(
    candles: Candles,
    atr_pct: Values,
    p_up: Values,
    *,
    timeframe: Timeframe,
    horizons: tuple[Horizon, ...],
    parameters: SignalParameters,
    terms: TradingTerms,
    window: range,
) -> dict[int, float]:
    """What each trade of the window returned, in percent, by the row that it was decided at."""
    account = Account(candles, timeframe, parameters, terms)
    place = horizons.index(parameters.holding)
    for row in window:
        account.close(row, float(p_up[row, place]), float(atr_pct[row]))
    account.finish()
    return account.trades
