"""A signal and what becomes of it, as people and clients are shown it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.contracts.trading import (
    DayProfit,
    Exit,
    ExposureReport,
    FilterResult,
    Outcome,
    Position,
    ProfitReport,
    Rejection,
    Side,
    Signal,
    SignalParameters,
    SymbolProfit,
)

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
BTC = Symbol("BTC/USDT")

#: The first filter that failed is the reason; those behind it were tried all the same.
FILTERS = (
    FilterResult(name="no_model", value=1.0, threshold=1.0, passed=True),
    FilterResult(name="confidence", value=0.5125, threshold=0.55, passed=False),
    FilterResult(name="net_profit", value=None, threshold=1.0, passed=False),
)


def open_signal(symbol: Symbol = BTC, *, number: int = 1) -> Signal:
    return Signal(
        id=f"{symbol.token}-{number}",
        symbol=symbol,
        timeframe=Timeframe.M15,
        side=Side.LONG,
        candle_at=AT,
        opened_at=AT,
        expires_at=AT + timedelta(minutes=105),
        entry=104250.5,
        take_profit=106335.5,
        stop_loss=102686.7,
        leverage=3.5,
        stake_cents=100_000,
        confidence=0.62,
        horizon=7,
        net_profit_pct=1.7,
        fee_pct=0.1,
        slippage_pct=0.05,
        funding_pct_per_day=0.0,
        atr_pct=1.0,
        model_version="v1",
        parameters=SignalParameters(),
        filters=(),
    )


def closed_signal(symbol: Symbol = BTC, *, exit: Exit = Exit.TAKE_PROFIT) -> Signal:
    outcome = Outcome(
        exit=exit,
        exit_at=AT + timedelta(hours=1),
        entry_at=AT + timedelta(minutes=15),
        entry_price=104260.0,
        exit_price=106335.5,
        gross_cents=6970,
        fee_cents=700,
        slippage_cents=350,
        profit_cents=5920,
    )
    return replace(open_signal(symbol, number=2), outcome=outcome)


def rejection(symbol: Symbol = BTC) -> Rejection:
    return Rejection(
        id=f"{symbol.token}-r1",
        symbol=symbol,
        timeframe=Timeframe.M15,
        at=AT,
        reason="confidence",
        filters=FILTERS,
        metadata={"close": 104250.5},
    )


PROFIT = ProfitReport(
    at=AT,
    days=30,
    capital_cents=10_000_000,
    trades=42,
    realised_cents=-123_456,
    unrealised_cents=789,
    fee_cents=8400,
    slippage_cents=4200,
    funding_cents=0,
    win_rate=0.45238,
    profit_factor=0.91,
    max_drawdown_cents=234_567,
    by_symbol=(
        SymbolProfit(
            symbol=BTC, trades=42, win_rate=0.45238, profit_cents=-123_456, unrealised_cents=789
        ),
    ),
    by_day=(DayProfit(day="2026-11-20", trades=42, profit_cents=-123_456),),
)

EXPOSURE = ExposureReport(
    at=AT,
    long_cents=350_000,
    short_cents=0,
    gross_cents=350_000,
    net_cents=350_000,
    cap_cents=20_000_000,
    positions=(
        Position(
            signal_id="BTC_USDT-1",
            symbol=BTC,
            side=Side.LONG,
            notional_cents=350_000,
            leverage=3.5,
            entry_price=104260.0,
            price=104280.0,
            unrealised_cents=789,
        ),
    ),
)
