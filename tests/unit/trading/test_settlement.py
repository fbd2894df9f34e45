from itertools import pairwise

import pytest
from hypothesis import given

from shared.contracts.trading import Exit, Outcome, Side, Signal
from shared.market.candles import ROW, Candle, pack
from shared.runtime.clock import from_ms
from shared.trading.settlement import settle, settle_at_last, value
from tests.support.bookkeeping import profit_cents
from tests.support.signals import CANDLE_AT, M15, candle, flat, paths, signal, signals


def mirrored(row: Candle) -> Candle:
    """What a short sees where a long sees `row`, about the price of 100."""
    at_ms, opened, high, low, closed, volume = row
    return Candle(at_ms, 200 - opened, 200 - low, 200 - high, 200 - closed, volume)


def ended(*candles: Candle, **changes: float) -> Outcome:
    """How a long ended; a short on the mirrored candles must end the same way."""
    outcome = settle(signal(Side.LONG, **changes), candles)
    other = settle(signal(Side.SHORT, **changes), [mirrored(row) for row in candles])
    assert outcome is not None
    assert other is not None
    assert (other.exit, other.exit_at, other.entry_at) == (
        outcome.exit,
        outcome.exit_at,
        outcome.entry_at,
    )
    return outcome


# Where and when


def test_a_signal_is_entered_at_the_open_of_the_next_candle() -> None:
    outcome = ended(candle(1, 101, 105, 100.5, 104.5))
    assert outcome.entry_price == 101
    assert outcome.entry_at == CANDLE_AT + M15


def test_candles_up_to_its_own_decide_nothing() -> None:
    assert settle(signal(), [candle(-1, 100, 200, 50, 100), candle(0, 100, 200, 50, 100)]) is None


def test_without_a_touch_it_stays_open() -> None:
    assert settle(signal(), [flat(1), candle(2, 100, 103.9, 98.1, 100)]) is None


def test_touching_the_take_profit_ends_it_there_when_the_candle_is_closed() -> None:
    outcome = ended(flat(1), candle(2, 101, 104, 99, 103))
    assert (outcome.exit, outcome.exit_price) == (Exit.TAKE_PROFIT, 104)
    assert outcome.exit_at == CANDLE_AT + 3 * M15


def test_touching_the_stop_loss_ends_it_there() -> None:
    outcome = ended(flat(1), candle(2, 101, 103, 98, 103))
    assert (outcome.exit, outcome.exit_price) == (Exit.STOP_LOSS, 98)


def test_the_candle_of_the_entry_can_end_it() -> None:
    assert ended(candle(1, 100, 104, 99, 103)).exit is Exit.TAKE_PROFIT
    assert ended(candle(1, 100, 103, 98, 103)).exit is Exit.STOP_LOSS


def test_of_both_touched_in_one_candle_the_stop_loss_counts() -> None:
    assert ended(flat(1), candle(2, 100, 105, 97, 104)).exit is Exit.STOP_LOSS


def test_a_gap_beyond_the_stop_loss_ends_it_at_that_open() -> None:
    outcome = ended(flat(1), candle(2, 95, 105, 94, 100))
    assert (outcome.exit, outcome.exit_price) == (Exit.STOP_LOSS, 95)
    assert outcome.exit_at == CANDLE_AT + 2 * M15


def test_a_gap_beyond_the_take_profit_gives_no_more_than_was_asked() -> None:
    outcome = ended(flat(1), candle(2, 107, 108, 90, 100))
    assert (outcome.exit, outcome.exit_price) == (Exit.TAKE_PROFIT, 104)
    assert outcome.exit_at == CANDLE_AT + 2 * M15


@pytest.mark.parametrize("opened", [98.0, 97.0, 104.0, 110.0])
def test_what_opens_at_or_beyond_a_level_is_missed_and_costs_nothing(opened: float) -> None:
    outcome = ended(candle(1, opened, 111, 90, 100), fee_pct=0.1, slippage_pct=0.1)
    assert outcome == Outcome(exit=Exit.MISSED, exit_at=CANDLE_AT + M15)


def test_the_last_candle_it_may_last_ends_it_at_the_close() -> None:
    outcome = ended(flat(1), flat(2), candle(3, 100, 103, 99, 102))
    assert (outcome.exit, outcome.exit_price) == (Exit.EXPIRY, 102)
    assert outcome.exit_at == CANDLE_AT + 4 * M15


def test_where_the_last_candle_is_missing_the_next_open_ends_it() -> None:
    outcome = ended(flat(1), candle(9, 101, 103, 99, 100))
    assert (outcome.exit, outcome.exit_price) == (Exit.EXPIRY, 101)
    assert outcome.exit_at == CANDLE_AT + 9 * M15


def test_a_gap_over_the_expiry_that_is_beyond_the_stop_loss_is_a_stop_loss() -> None:
    assert ended(flat(1), flat(9, 90)).exit is Exit.STOP_LOSS


def test_missing_candles_are_nothing_special() -> None:
    assert ended(flat(2), candle(3, 100, 104, 99, 100)).exit is Exit.TAKE_PROFIT


def test_what_has_no_candle_before_its_expiry_is_missed() -> None:
    assert ended(flat(4)).exit is Exit.MISSED


# Money


def test_a_long_earns_what_the_market_rises_on_the_whole_position() -> None:
    outcome = ended(candle(1, 100, 104, 99, 104))
    assert (outcome.gross_cents, outcome.profit_cents) == (20_000, 20_000)


def test_a_short_earns_what_the_market_falls() -> None:
    outcome = settle(signal(Side.SHORT), [candle(1, 100, 101, 96, 96)])
    assert outcome is not None
    assert (outcome.gross_cents, outcome.profit_cents) == (20_000, 20_000)


def test_fees_and_slippage_are_paid_on_the_way_in_and_on_the_way_out() -> None:
    outcome = ended(candle(1, 100, 104, 99, 104), fee_pct=0.1, slippage_pct=0.05)
    assert (outcome.fee_cents, outcome.slippage_cents) == (1020, 510)  # of 5,000 and of 5,200
    assert outcome.profit_cents == 20_000 - 1020 - 510


def test_funding_is_paid_for_the_time_between_entry_and_exit() -> None:
    outcome = ended(flat(1), flat(2), flat(3), funding_pct_per_day=0.96)
    assert outcome.funding_cents == 150  # 0.96 % of 5,000 a day, for three quarters of an hour
    assert outcome.profit_cents == -150


def test_no_more_than_the_stake_can_be_lost() -> None:
    outcome = ended(flat(1), flat(2, 60), fee_pct=0.1)
    assert outcome.exit_price == 60
    assert outcome.profit_cents == -100_000
    assert outcome.gross_cents == -100_000 + outcome.fee_cents


def test_half_a_cent_is_rounded_to_the_even_one() -> None:
    small = {"leverage": 1.0, "stake_cents": 50}
    assert ended(candle(1, 100, 103, 99, 100), flat(2), flat(3, 101), **small).gross_cents == 0
    assert ended(candle(1, 100, 103, 99, 100), flat(2), flat(3, 103), **small).gross_cents == 2


def test_a_float_is_taken_for_the_decimal_it_is_written_as() -> None:
    """The binary 0.1 is a little more than a tenth, so that half a cent would be rounded up."""
    outcome = ended(flat(1), flat(2), flat(3), fee_pct=0.1, stake_cents=50)
    assert outcome.fee_cents == 0


# What it is worth while it is open


def test_before_it_is_entered_it_is_worth_nothing() -> None:
    assert value(signal(), [flat(0)]) == (None, None, 0)


def test_an_open_signal_is_worth_what_closing_it_would_leave() -> None:
    long = signal(fee_pct=0.1, slippage_pct=0.05, funding_pct_per_day=0.96)
    candles = [flat(1), candle(2, 100, 103, 99, 102)]
    assert value(long, candles) == (100, 102, 10_000 - 1010 - 505 - 100)


# Whatever the market does


@given(signals(), paths())
def test_another_bookkeeper_finds_the_same_to_the_cent(one: Signal, candles: list[Candle]) -> None:
    outcome = settle(one, candles)
    if outcome is not None:
        assert outcome.profit_cents == profit_cents(one, outcome)


@given(signals(), paths())
def test_the_amounts_add_up_and_no_more_than_the_stake_is_lost(
    one: Signal, candles: list[Candle]
) -> None:
    outcome = settle(one, candles)
    if outcome is not None:
        costs = outcome.fee_cents + outcome.slippage_cents + outcome.funding_cents
        assert outcome.profit_cents == outcome.gross_cents - costs
        assert outcome.profit_cents >= -one.stake_cents


@given(signals(), paths())
def test_later_candles_never_change_an_outcome(one: Signal, candles: list[Candle]) -> None:
    outcomes = [settle(one, candles[:count]) for count in range(len(candles) + 1)]
    assert all(before is None or before == after for before, after in pairwise(outcomes))


@given(signals(), paths())
def test_nothing_lasts_longer_than_it_may(one: Signal, candles: list[Candle]) -> None:
    if candles and from_ms(candles[-1].at_ms) + M15 >= one.expires_at:
        assert settle(one, candles) is not None


@given(signals(), paths())
def test_stored_rows_can_be_settled_as_they_are_unpacked(
    one: Signal, candles: list[Candle]
) -> None:
    assert settle(one, ROW.iter_unpack(pack(candles))) == settle(one, candles)


@given(signals(), paths())
def test_an_open_signal_loses_no_more_than_its_stake_either(
    one: Signal, candles: list[Candle]
) -> None:
    if settle(one, candles) is None:
        assert value(one, candles).unrealised_cents >= -one.stake_cents


# Where no candle will follow


def test_it_ends_at_the_last_close_that_there_is() -> None:
    candles = [flat(0), candle(1, 101, 103, 99, 102), candle(2, 102, 103, 99, 101.5)]
    outcome = settle_at_last(signal(), candles)
    assert (outcome.exit, outcome.entry_price) == (Exit.EXPIRY, 101)
    assert (outcome.exit_price, outcome.exit_at) == (101.5, CANDLE_AT + 3 * M15)


@given(signals(), paths())
def test_it_ends_with_what_it_was_worth(one: Signal, candles: list[Candle]) -> None:
    if settle(one, candles) is None:
        assert settle_at_last(one, candles).profit_cents == value(one, candles).unrealised_cents


def test_without_a_candle_it_was_missed() -> None:
    outcome = settle_at_last(signal(), [flat(0)])
    assert (outcome.exit, outcome.exit_at) == (Exit.MISSED, CANDLE_AT + M15)
    assert outcome.profit_cents == 0
