"""ccxt's own client against a server that speaks Binance's wire format."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.contracts.errors import Unavailable
from shared.contracts.symbols import Symbol
from shared.market.candles import Candle
from shared.market.providers.provider import Provider
from shared.runtime.clock import to_ms
from tests.support.binance import Binance, price
from tests.support.marketplace import BTC, ETH, HISTORY, M15, HandClock, House, SlowClock
from tests.support.stand_in import Answer

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def closed(clock: HandClock, count: int = HISTORY) -> list[Candle]:
    """The newest candles that are closed."""
    end = to_ms(clock.now) // M15.ms
    return [price(number * M15.ms) for number in range(end - count, end)]


async def test_a_new_symbol_gets_its_history_and_only_what_is_closed(house: House) -> None:
    summaries = await house.update(BTC)
    assert await house.stored(BTC) == closed(house.clock)
    assert summaries[BTC].error is None
    assert summaries[BTC].lag_s == 300


async def test_a_long_history_comes_in_pages(
    house: House, binance: Binance, exchange: Provider
) -> None:
    exchange._history = lambda: 2500  # type: ignore[attr-defined]
    await house.update(BTC)
    assert await house.stored(BTC) == closed(house.clock, 2500)
    pages = [since_ms for _, since_ms in binance.asked]
    assert [since_ms - pages[0] for since_ms in pages[:3]] == [0, 1000 * M15.ms, 2000 * M15.ms]


async def test_an_update_asks_only_for_what_came_since(house: House, binance: Binance) -> None:
    await house.update(BTC)
    newest = (await house.stored(BTC))[-1].at_ms
    binance.asked.clear()
    await house.next_tick(BTC)
    assert (await house.stored(BTC))[-1].at_ms == newest + M15.ms
    assert binance.asked == [(BTC, newest + M15.ms)]


async def test_nothing_is_asked_while_nothing_can_be_new(house: House, binance: Binance) -> None:
    await house.update(BTC)
    binance.asked.clear()
    house.clock.advance(minutes=1)
    await house.update(BTC)
    assert not binance.asked


async def test_a_history_that_was_cut_off_is_gone_on_with_by_another_process(
    house: House, binance: Binance, exchange: Provider
) -> None:
    exchange._history = lambda: 2500  # type: ignore[attr-defined]
    binance.faults[BTC] = lambda number: Answer(status=503) if number == 3 else None
    await house.update(BTC)
    assert len(await house.stored(BTC)) == 2000
    binance.asked.clear()
    house.market = house.another_market()
    await house.update(BTC)
    assert await house.stored(BTC) == closed(house.clock, 2500)
    assert binance.asked[0] == (BTC, closed(house.clock, 500)[0].at_ms)


async def test_a_longer_history_is_fetched_when_it_is_asked_for(
    house: House, exchange: Provider
) -> None:
    await house.update(BTC)
    exchange._history = lambda: 200  # type: ignore[attr-defined]
    house.market = house.another_market()
    await house.update(BTC)
    assert await house.stored(BTC) == closed(house.clock, 200)


async def test_a_candle_is_not_stored_before_the_exchange_has_closed_it(
    house: House, their_clock: SlowClock
) -> None:
    their_clock.behind = timedelta(minutes=19)
    await house.update(BTC)
    assert (await house.stored(BTC))[-1] == price(to_ms(NOON) - 2 * M15.ms)
    house.clock.advance(minutes=15)
    await house.update(BTC)
    assert (await house.stored(BTC))[-1] == price(to_ms(NOON) - M15.ms)


async def test_a_candle_that_has_just_closed_may_still_be_corrected(house: House) -> None:
    house.clock.now = NOON + timedelta(seconds=1)
    await house.update(BTC)
    assert (await house.stored(BTC))[-1] == price(to_ms(NOON) - 2 * M15.ms)
    house.clock.now = NOON + timedelta(seconds=2)
    await house.update(BTC)
    assert (await house.stored(BTC))[-1] == price(to_ms(NOON) - M15.ms)


async def test_pages_without_a_candle_are_passed_over(
    house: House, binance: Binance, exchange: Provider
) -> None:
    exchange._history = lambda: 5000  # type: ignore[attr-defined]
    binance.stretches = True
    binance.listed_ms = closed(house.clock, 100)[0].at_ms
    await house.update(BTC)
    assert await house.stored(BTC) == closed(house.clock, 100)


async def test_a_long_way_to_the_first_candle_is_gone_on_with_after_a_fault(
    exchange: Provider, binance: Binance, clock: HandClock
) -> None:
    exchange._history = lambda: 5000  # type: ignore[attr-defined]
    binance.stretches = True
    binance.listed_ms = closed(clock, 100)[0].at_ms
    binance.faults[BTC] = lambda number: Answer(status=503) if number == 4 else None
    with pytest.raises(Unavailable):
        await exchange.candles(BTC, M15, None)
    assert await exchange.candles(BTC, M15, None) == closed(clock, 100)
    assert len(binance.asked) == 6


async def test_a_symbol_that_the_exchange_has_not_is_named_and_the_others_go_on(
    house: House, binance: Binance
) -> None:
    summaries = await house.update(BTC, "BTC/USD", "NOPE")
    assert await house.stored(BTC) == closed(house.clock)
    error = summaries["BTC/USD"].error
    assert error is not None
    assert error.code == "unknown_symbol"
    assert error.message == "BTC/USD is not on binance: it has BTC/USDT, ETH/USDT"
    error = summaries["NOPE"].error
    assert error is not None
    assert error.message == "NOPE is not on binance, which has 2 markets"
    assert binance.listings == 1


async def test_a_symbol_is_found_once_the_exchange_lists_it(house: House, binance: Binance) -> None:
    sol = Symbol("SOL/USDT")
    await house.update(sol)
    binance.symbols.append(sol)
    house.clock.advance(hours=1)
    summaries = await house.update(sol)
    assert summaries[sol].error is None
    assert await house.stored(sol) == closed(house.clock)


async def test_an_exchange_that_does_not_list_its_markets_is_asked_once_for_all_symbols(
    house: House, binance: Binance
) -> None:
    binance.trouble = lambda: Answer(b"<html>maintenance</html>", status=503)
    summaries = await house.update(BTC, ETH)
    for symbol in (BTC, ETH):
        error = summaries[symbol].error
        assert error is not None
        assert error.code == "unavailable"
        assert "503" in error.message
    assert binance.listings == 1
    binance.trouble = lambda: None
    summaries = await house.next_tick(BTC, ETH)
    assert await house.stored(ETH) == closed(house.clock, HISTORY)
    assert summaries[ETH].error is None


@pytest.mark.parametrize("status", [429, 418])
async def test_a_pause_that_the_exchange_asks_for_is_kept_by_all_symbols(
    house: House, binance: Binance, status: int
) -> None:
    await house.update(BTC, ETH)
    house.clock.advance(minutes=15)
    tired = Answer(
        b'{"code":-1003,"msg":"Too many requests."}', status=status, headers={"Retry-After": "1800"}
    )
    asked = 0

    def refuse() -> Answer:
        nonlocal asked
        asked += 1
        return tired

    binance.trouble = refuse
    summaries = await house.update(BTC)
    error = summaries[BTC].error
    assert error is not None
    assert error.message == "binance wants no requests before 2026-11-20 12:50:00 UTC"
    assert asked == 1
    await house.next_tick(BTC, ETH)
    assert asked == 1
    binance.trouble = lambda: None
    house.clock.advance(minutes=20)
    summaries = await house.update(BTC, ETH)
    assert summaries[BTC].error is None
    assert (await house.stored(BTC))[-1] == closed(house.clock)[-1]
    assert (await house.stored(ETH))[-1] == closed(house.clock)[-1]


async def test_a_short_pause_is_waited_for_and_the_request_sent_again(
    house: House, binance: Binance
) -> None:
    tired = Answer(b"{}", status=429, headers={"Retry-After": "0"})
    binance.faults[BTC] = lambda number: tired if number == 1 else None
    summaries = await house.update(BTC)
    assert summaries[BTC].last_error is None
    assert await house.stored(BTC) == closed(house.clock)
