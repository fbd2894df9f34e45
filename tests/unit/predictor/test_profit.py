from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.predictor.domain.profit import Trade, profit_report
from shared.contracts import codec
from shared.contracts.symbols import Symbol
from shared.contracts.trading import ProfitReport, Signal
from shared.market.candles import Candle
from shared.runtime.clock import to_ms
from shared.trading.settlement import settle
from tests.support.bookkeeping import profit_cents
from tests.support.signals import paths, signals

A, B, C = Symbol("A"), Symbol("B"), Symbol("C")
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def trade(profit: int, symbol: Symbol = A, *, days_ago: float = 1.0) -> Trade:
    return Trade(symbol, to_ms(NOW - timedelta(days=days_ago)), profit, 3, 2, 1)


def report(*trades: Trade, unrealised: dict[Symbol, int] | None = None) -> ProfitReport:
    return profit_report(trades, unrealised or {}, now=NOW, days=None, capital_cents=10_000_000)


def test_nothing_traded_is_known_to_be_nothing() -> None:
    empty = report()
    assert (empty.trades, empty.realised_cents, empty.max_drawdown_cents) == (0, 0, 0)
    assert (empty.win_rate, empty.profit_factor) == (None, None)
    assert (empty.by_symbol, empty.by_day) == ((), ())


def test_sums_are_over_all_trades() -> None:
    found = report(trade(500), trade(-200), trade(100, B))
    assert (found.trades, found.realised_cents) == (3, 400)
    assert (found.fee_cents, found.slippage_cents, found.funding_cents) == (9, 6, 3)


def test_a_trade_that_came_to_nothing_is_not_won() -> None:
    assert report(trade(500), trade(0), trade(-1), trade(100)).win_rate == 0.5


def test_the_profit_factor_is_all_profits_over_all_losses() -> None:
    assert report(trade(500), trade(-200), trade(100)).profit_factor == 3.0
    assert report(trade(500)).profit_factor is None
    assert report(trade(-500)).profit_factor == 0.0


def test_the_drawdown_is_the_deepest_fall_below_the_highest_sum_before() -> None:
    found = report(*map(trade, (300, -100, -150, 400, -200, -199)))
    assert found.max_drawdown_cents == 399


def test_a_loss_at_the_very_beginning_is_a_drawdown() -> None:
    assert report(trade(-100), trade(500)).max_drawdown_cents == 100


def test_symbols_come_by_name_with_what_is_open() -> None:
    found = report(trade(-200, B), trade(500), unrealised={B: 70, C: -30})
    assert [(one.symbol, one.profit_cents, one.unrealised_cents) for one in found.by_symbol] == [
        (A, 500, 0),
        (B, -200, 70),
        (C, 0, -30),
    ]
    assert [one.win_rate for one in found.by_symbol] == [1.0, 0.0, None]
    assert found.unrealised_cents == 40


def test_days_are_those_of_utc_newest_first() -> None:
    midnight = datetime(2026, 3, 9, tzinfo=UTC)
    late, early = (
        replace_time(trade(100), midnight - timedelta(milliseconds=1)),
        replace_time(trade(-30), midnight),
    )
    found = report(late, early, early)
    assert [(one.day, one.trades, one.profit_cents) for one in found.by_day] == [
        ("2026-03-09", 2, -60),
        ("2026-03-08", 1, 100),
    ]


def replace_time(one: Trade, at: datetime) -> Trade:
    return one._replace(ended_ms=to_ms(at))


TRADES = st.lists(
    st.builds(
        trade,
        st.integers(-(10**9), 10**9),
        st.sampled_from((A, B, C)),
        days_ago=st.integers(1, 400).map(lambda quarters: quarters / 4),
    ),
    max_size=40,
)


@given(TRADES)
def test_the_parts_add_up_to_the_whole(trades: list[Trade]) -> None:
    found = report(*trades)
    for parts in (found.by_symbol, found.by_day):
        assert sum(part.profit_cents for part in parts) == found.realised_cents
        assert sum(part.trades for part in parts) == found.trades


@given(TRADES)
def test_the_drawdown_is_the_worst_of_all_stretches(trades: list[Trade]) -> None:
    """Of any begin and any end, told from each other by brute force."""
    profits = [one.profit for one in trades]
    stretches = (
        -sum(profits[begin:end]) for begin in range(len(profits)) for end in range(len(profits) + 1)
    )
    assert report(*trades).max_drawdown_cents == max(0, *stretches, 0)


# Against the books of another


@given(st.lists(st.tuples(signals(), paths()), max_size=12))
def test_another_bookkeeper_finds_the_same_from_what_is_stored(
    given_out: list[tuple[Signal, list[Candle]]],
) -> None:
    stored = [
        codec.encode(replace(one, symbol=(A, B, C)[number % 3], outcome=outcome))
        for number, (one, candles) in enumerate(given_out)
        if (outcome := settle(one, candles))
    ]
    read = [codec.decode(record, Signal) for record in stored]
    found = report(*(trade for one in read if (trade := Trade.of(one))))

    entered = [one for one in read if one.outcome and one.outcome.entry_at]
    profits = [profit_cents(one, one.outcome) for one in entered if one.outcome]
    assert found.realised_cents == sum(profits)
    assert found.trades == len(profits)
    assert {one.symbol: one.profit_cents for one in found.by_symbol} == {
        symbol: sum(
            profit for one, profit in zip(entered, profits, strict=True) if one.symbol == symbol
        )
        for symbol in {one.symbol for one in entered}
    }
    days = [f"{one.outcome.exit_at:%Y-%m-%d}" for one in entered if one.outcome]
    assert {one.day: one.profit_cents for one in found.by_day} == {
        day: sum(profit for other, profit in zip(days, profits, strict=True) if other == day)
        for day in set(days)
    }
