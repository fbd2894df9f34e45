"""What the trades on paper came to, in whole cents."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from shared.contracts.symbols import Symbol
from shared.contracts.trading import DayProfit, Exit, ProfitReport, Signal, SymbolProfit


class Trade(NamedTuple):
    """One that has ended. `profit` is what is left after `fee`, `slippage` and `funding`."""

    symbol: Symbol
    ended_ms: int
    profit: int
    fee: int
    slippage: int
    funding: int

    @classmethod
    def of(cls, signal: Signal) -> "Trade | None":
        """None if it is open, or was never entered."""
        outcome = signal.outcome
        if outcome is None or outcome.exit is Exit.MISSED:
            return None
        return cls(
            signal.symbol,
            round(outcome.exit_at.timestamp() * 1000),
            outcome.profit_cents,
            outcome.fee_cents,
            outcome.slippage_cents,
            outcome.funding_cents,
        )


@dataclass(slots=True)
class _Sum:
    trades: int = 0
    wins: int = 0
    profit: int = 0

    def add(self, trade: Trade) -> None:
        self.trades += 1
        self.wins += trade.profit > 0
        self.profit += trade.profit

    @property
    def win_rate(self) -> float | None:
        return self.wins / self.trades if self.trades else None


def profit_report(
    trades: Sequence[Trade],
    unrealised: Mapping[Symbol, int],
    *,
    now: datetime,
    days: int | None,
    capital_cents: int,
) -> ProfitReport:
    """`trades` in the order in which they ended; `unrealised` cents of each symbol that is open.

    Symbols come by name, days newest first.
    """
    whole, symbols, dates = _Sum(), dict[Symbol, _Sum](), dict[str, _Sum]()
    for trade in trades:
        whole.add(trade)
        symbols.setdefault(trade.symbol, _Sum()).add(trade)
        dates.setdefault(_day(trade.ended_ms), _Sum()).add(trade)
    for symbol in unrealised:
        symbols.setdefault(symbol, _Sum())
    return ProfitReport(
        at=now,
        days=days,
        capital_cents=capital_cents,
        trades=whole.trades,
        realised_cents=whole.profit,
        unrealised_cents=sum(unrealised.values()),
        fee_cents=sum(trade.fee for trade in trades),
        slippage_cents=sum(trade.slippage for trade in trades),
        funding_cents=sum(trade.funding for trade in trades),
        win_rate=whole.win_rate,
        profit_factor=_profit_factor(trades),
        max_drawdown_cents=_max_drawdown(trade.profit for trade in trades),
        by_symbol=tuple(
            SymbolProfit(
                symbol=symbol,
                trades=one.trades,
                win_rate=one.win_rate,
                profit_cents=one.profit,
                unrealised_cents=unrealised.get(symbol, 0),
            )
            for symbol, one in sorted(symbols.items())
        ),
        by_day=tuple(
            DayProfit(day=day, trades=one.trades, profit_cents=one.profit)
            for day, one in sorted(dates.items(), reverse=True)
        ),
    )


def _profit_factor(trades: Sequence[Trade]) -> float | None:
    lost = -sum(trade.profit for trade in trades if trade.profit < 0)
    return sum(trade.profit for trade in trades if trade.profit > 0) / lost if lost else None


def _max_drawdown(profits: Iterable[int]) -> int:
    total = highest = deepest = 0
    for profit in profits:
        total += profit
        highest = max(highest, total)
        deepest = max(deepest, highest - total)
    return deepest


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
