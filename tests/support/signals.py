"""Signals and the candles that decide them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.contracts.trading import Side, Signal, SignalParameters
from shared.market.candles import Candle
from shared.runtime.clock import to_ms

BTC = Symbol("BTC/USDT")
#: The open time of the candle at whose close signals are decided.
CANDLE_AT = datetime(2026, 3, 1, tzinfo=UTC)
M15 = timedelta(minutes=15)
CLOSE = 100.0


def signal(side: Side = Side.LONG, **changes: Any) -> Signal:
    """One of 1,000.00 at 5x that may last three candles, and costs nothing until told so: from 100
    it asks for 4 and risks 2.
    """
    up = 1 if side is Side.LONG else -1
    plain = Signal(
        id=f"BTC_USDT.{CANDLE_AT:%Y%m%dT%H%M%SZ}",
        symbol=BTC,
        timeframe=Timeframe.M15,
        side=side,
        candle_at=CANDLE_AT,
        opened_at=CANDLE_AT + M15,
        expires_at=CANDLE_AT + 4 * M15,
        entry=CLOSE,
        take_profit=CLOSE + 4 * up,
        stop_loss=CLOSE - 2 * up,
        leverage=5.0,
        stake_cents=100_000,
        confidence=0.6,
        horizon=3,
        net_profit_pct=4.0,
        fee_pct=0.0,
        slippage_pct=0.0,
        funding_pct_per_day=0.0,
        atr_pct=1.0,
        model_version="v1",
        parameters=SignalParameters(holding=3),
        filters=(),
    )
    return replace(plain, **changes)


def candle(number: int, opened: float, high: float, low: float, closed: float) -> Candle:
    """The `number`-th one behind that of the signal."""
    return Candle(to_ms(CANDLE_AT + number * M15), opened, high, low, closed, 1.0)


def flat(number: int, price: float = CLOSE) -> Candle:
    return candle(number, price, price, price, price)


_PRICE = st.integers(8500, 11500).map(lambda cents: cents / 100)
_RATE = st.integers(0, 50).map(lambda hundredths: hundredths / 100)


@st.composite
def paths(draw: st.DrawFn) -> list[Candle]:
    """Candles that follow a signal, in the order of time, some missing."""
    numbers = sorted(draw(st.sets(st.integers(-1, 9), max_size=8)))
    return [draw(_candles(number)) for number in numbers]


@st.composite
def _candles(draw: st.DrawFn, number: int) -> Candle:
    opened, closed, *others = draw(st.tuples(_PRICE, _PRICE, _PRICE, _PRICE))
    prices = (opened, closed, *others)
    return candle(number, opened, max(prices), min(prices), closed)


@st.composite
def signals(draw: st.DrawFn) -> Signal:
    """Of any size, with any levels and costs."""
    up = 1 if draw(st.sampled_from(Side)) is Side.LONG else -1
    return signal(
        Side.LONG if up == 1 else Side.SHORT,
        take_profit=round(100 + up * draw(st.integers(1, 1000)) / 100, 2),
        stop_loss=round(100 - up * draw(st.integers(1, 1000)) / 100, 2),
        leverage=draw(st.integers(10, 200)) / 10,
        stake_cents=draw(st.integers(1, 10_000_000)),
        fee_pct=draw(_RATE),
        slippage_pct=draw(_RATE),
        funding_pct_per_day=draw(_RATE),
        expires_at=CANDLE_AT + draw(st.integers(2, 8)) * M15,
    )
