"""Signals, rejections and the paper ledger, asked and shown."""

from collections.abc import Sequence

from rich.console import Console

from evertrain.output import moment, money, percent, price, score, share, table
from shared.bus import rpc
from shared.bus.connection import Connection
from shared.contracts.requests import (
    ExposureRequest,
    ProfitRequest,
    RejectionsRequest,
    SignalsRequest,
)
from shared.contracts.trading import (
    ExposureReport,
    ProfitReport,
    Rejection,
    Signal,
)


async def signals(connection: Connection, question: SignalsRequest) -> list[Signal]:
    """Raises NotFound, Unavailable."""
    return await rpc.ask(connection, "evertrain.predictor.signals", question, list[Signal])


async def rejected(connection: Connection, question: RejectionsRequest) -> list[Rejection]:
    """Raises Unavailable."""
    return await rpc.ask(connection, "evertrain.predictor.rejected", question, list[Rejection])


async def profit(connection: Connection, question: ProfitRequest) -> ProfitReport:
    """Raises Unavailable."""
    return await rpc.ask(connection, "evertrain.predictor.pnl", question, ProfitReport)


async def exposure(connection: Connection) -> ExposureReport:
    """Raises Unavailable."""
    question = ExposureRequest()
    return await rpc.ask(connection, "evertrain.predictor.exposure", question, ExposureReport)


def show_signals(found: Sequence[Signal], out: Console) -> None:
    if not found:
        out.print("no such signals: `evertrain rejected` shows which filters stood in the way")
        return
    columns = (
        "Opened", "Symbol", "Side", "State", "Entry", "Take profit", "Stop loss", "Leverage",
        "Confidence", "Net if reached", "Stake", "Profit", "Ends",
    )  # fmt: skip
    rows = (
        (
            moment(signal.opened_at),
            signal.symbol,
            signal.side,
            signal.outcome.exit.replace("_", " ") if signal.outcome else "open",
            price(signal.entry),
            price(signal.take_profit),
            price(signal.stop_loss),
            f"{signal.leverage:g}x",
            score(signal.confidence),
            percent(signal.net_profit_pct, sign=True),
            money(signal.stake_cents),
            money(signal.outcome.profit_cents, sign=True) if signal.outcome else "-",
            _end(signal),
        )
        for signal in found
    )
    out.print(
        table(*columns, rows=rows, numbers={*columns} - {"Opened", "Symbol", "Side", "State"})
    )


def show_rejected(found: Sequence[Rejection], out: Console) -> None:
    if not found:
        out.print("nothing was rejected in this time")
        return
    columns = ("At", "Symbol", "Reason", "Value", "Needed", "Other filters not passed")
    rows = (
        (
            moment(rejection.at),
            rejection.symbol,
            rejection.reason,
            *_against(rejection),
            _others(rejection),
        )
        for rejection in found
    )
    out.print(table(*columns, rows=rows, numbers=("Value", "Needed")))


def show_profit(report: ProfitReport, out: Console) -> None:
    span = f"the last {report.days} days" if report.days else "all time"
    costs = report.fee_cents + report.slippage_cents + report.funding_cents
    factor = report.profit_factor
    facts = {
        "trades": report.trades,
        "realised": money(report.realised_cents, sign=True),
        "unrealised": money(report.unrealised_cents, sign=True),
        "costs in that": f"{money(costs)}: fees {money(report.fee_cents)}, slippage "
        f"{money(report.slippage_cents)}, funding {money(report.funding_cents)}",
        "win rate": share(report.win_rate),
        "profits over losses": "-" if factor is None else f"{factor:.2f}",
        "deepest fall": money(report.max_drawdown_cents),
        "paper capital": money(report.capital_cents),
    }
    out.print(table("Paper ledger", span, rows=facts.items()))
    if report.by_symbol:
        symbols = (
            (s.symbol, s.trades, share(s.win_rate), money(s.profit_cents, sign=True),
             money(s.unrealised_cents, sign=True))
            for s in report.by_symbol
        )  # fmt: skip
        columns = ("Symbol", "Trades", "Win rate", "Realised", "Unrealised")
        out.print(table(*columns, rows=symbols, numbers=columns[1:]))
    if report.by_day:
        days = ((d.day, d.trades, money(d.profit_cents, sign=True)) for d in report.by_day)
        out.print(table("Day", "Trades", "Realised", rows=days, numbers=("Trades", "Realised")))


def show_exposure(report: ExposureReport, out: Console) -> None:
    out.print(
        f"open {money(report.gross_cents)} of at most {money(report.cap_cents)}: "
        f"long {money(report.long_cents)}, short {money(report.short_cents)}, "
        f"net {money(report.net_cents, sign=True)}"
    )
    if report.positions:
        columns = (
            "Symbol",
            "Side",
            "Size",
            "Leverage",
            "Entered at",
            "Now",
            "Unrealised",
            "Signal",
        )
        rows = (
            (
                position.symbol,
                position.side,
                money(position.notional_cents),
                f"{position.leverage:g}x",
                price(position.entry_price),
                price(position.price),
                money(position.unrealised_cents, sign=True),
                position.signal_id,
            )
            for position in report.positions
        )
        out.print(table(*columns, rows=rows, numbers={*columns} - {"Symbol", "Side", "Signal"}))


def _end(signal: Signal) -> str:
    """By the market's clock, which a replay turns faster than ours."""
    if signal.outcome is None:
        return f"by {moment(signal.expires_at)}"
    return moment(signal.outcome.exit_at)


def _against(rejection: Rejection) -> tuple[str, str]:
    """What stood in the way, and what would have had to be there."""
    failed = next((f for f in rejection.filters if f.name == rejection.reason), None)
    return (_figure(failed.value), _figure(failed.threshold)) if failed else ("-", "-")


def _others(rejection: Rejection) -> str:
    names = (f.name for f in rejection.filters if not f.passed and f.name != rejection.reason)
    return ", ".join(names) or "-"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
