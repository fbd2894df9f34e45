from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.configuration import Configuration
from shared.contracts.terms import Direction, Timeframe
from shared.contracts.trading import Side, SignalParameters
from shared.trading.levels import Levels, expiry, levels, nearest, net_profit_pct, side_of
from shared.trading.settlement import settle
from tests.support.signals import candle, signal

FREE = Configuration(fee_pct=0.0, slippage_pct=0.0)
COSTLY = Configuration(fee_pct=0.1, slippage_pct=0.05)


def test_a_rise_is_bought_and_a_fall_is_sold() -> None:
    assert [side_of(direction) for direction in Direction] == [Side.LONG, Side.SHORT]


def test_a_long_profits_above_its_entry_and_a_short_below() -> None:
    parameters = SignalParameters(take_profit_atr=2.0, stop_loss_atr=1.5)
    assert levels(Side.LONG, 200.0, 1.0, parameters) == Levels(200.0, 204.0, 197.0)
    assert levels(Side.SHORT, 200.0, 1.0, parameters) == Levels(200.0, 196.0, 203.0)


def test_without_costs_the_net_profit_is_the_distance() -> None:
    assert net_profit_pct(Side.LONG, 200.0, 204.0, FREE) == pytest.approx(2.0)
    assert net_profit_pct(Side.SHORT, 200.0, 196.0, FREE) == pytest.approx(2.0)


def test_costs_are_paid_of_what_is_bought_and_of_what_is_sold() -> None:
    assert net_profit_pct(Side.LONG, 100.0, 104.0, COSTLY) == pytest.approx(4.0 - 0.15 - 0.156)
    assert net_profit_pct(Side.SHORT, 100.0, 96.0, COSTLY) == pytest.approx(4.0 - 0.15 - 0.144)


@given(st.sampled_from(Side), st.floats(0.1, 20.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_ledger_pays_out_the_net_profit_when_the_take_profit_is_reached(
    side: Side, distance: float, fee_pct: float, slippage_pct: float
) -> None:
    rules = Configuration(fee_pct=fee_pct, slippage_pct=slippage_pct)
    end = 100.0 + distance if side is Side.LONG else 100.0 - distance
    trade = signal(
        side,
        entry=100.0,
        take_profit=end,
        stop_loss=200.0 - end,
        stake_cents=100_000_000,
        leverage=1.0,
        fee_pct=fee_pct,
        slippage_pct=slippage_pct,
        funding_pct_per_day=0.0,
    )
    outcome = settle(trade, [candle(1, 100.0, max(100.0, end), min(100.0, end), end)])
    assert outcome is not None
    expected = net_profit_pct(side, 100.0, end, rules) / 100.0 * trade.notional_cents
    assert outcome.profit_cents == pytest.approx(expected, abs=2)


def test_the_nearest_horizon_is_taken_and_of_two_the_shorter() -> None:
    assert nearest(7, (1, 3, 14)) == 3
    assert nearest(8, (1, 7, 14)) == 7
    assert nearest(2, (3, 1)) == 1


def test_a_signal_lasts_for_its_horizon_behind_its_own_candle() -> None:
    candle_at = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
    assert expiry(candle_at, Timeframe.M15, 3) == datetime(2026, 1, 5, 13, 0, tzinfo=UTC)
