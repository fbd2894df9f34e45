"""yfinance itself against a server that answers as Yahoo does. Only its HTTP client is another one
than usual: one that can be sent to an address of this machine.
"""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle
from shared.runtime.clock import to_ms
from tests.markets.conftest import NOT_HERE
from tests.support.marketplace import HandClock, House
from tests.support.stand_in import Answer, Fault, standing_in

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")

D1, M15 = Timeframe.D1, Timeframe.M15
AAPL, MSFT = Symbol("AAPL"), Symbol("MSFT")
FRIDAY = datetime(2026, 11, 20, tzinfo=UTC)
#: Days of trade in the thirty before that one.
ROWS = 22
PRICES = (10.0, 12.0, 9.0, 12.0, 1000.0)


@pytest.fixture
def clock() -> HandClock:
    return HandClock(FRIDAY.replace(hour=18, minute=5))


@pytest.fixture
def site(clock: HandClock) -> Any:
    pytest.importorskip("requests", reason=NOT_HERE)
    from tests.support.yahoo import Yahoo

    return Yahoo(clock, AAPL, MSFT)


@pytest.fixture
async def house(site: Any, clock: HandClock, tmp_path: Path) -> AsyncIterator[House]:
    yahoo = pytest.importorskip("shared.market.providers.yahoo", reason=NOT_HERE)
    from tests.support.yahoo import session_at

    yahoo.yfinance.set_tz_cache_location(str(tmp_path))
    async with (
        standing_in(site, clock) as address,
        yahoo.open_yahoo(history=lambda: 20, clock=clock) as provider,
    ):
        provider._session = session_at(address)
        yield House(provider, clock, D1)


async def test_a_day_is_that_of_the_exchange_and_its_prices_are_adjusted(house: House) -> None:
    await house.update(AAPL)
    thursday = FRIDAY - timedelta(days=1)
    assert (await house.stored(AAPL))[-1] == Candle(to_ms(thursday), *PRICES)


async def test_a_day_is_not_stored_before_it_is_over_and_is_no_error_till_then(
    house: House,
) -> None:
    summaries = await house.update(AAPL)
    assert summaries[AAPL].last_error is None
    house.clock.now = FRIDAY + timedelta(days=1)
    await house.update(AAPL)
    assert (await house.stored(AAPL))[-1] == Candle(to_ms(FRIDAY), *PRICES)


async def test_a_new_symbol_gets_its_history_in_days_of_the_calendar(
    house: House, site: Any
) -> None:
    await house.update(AAPL)
    assert len(await house.stored(AAPL)) == ROWS
    assert site.asked[0] == (AAPL, int((house.clock.now - timedelta(days=30)).timestamp()))


async def test_within_a_day_only_closed_candles_on_the_grid_are_stored(house: House) -> None:
    house.timeframe = M15
    summaries = await house.update(AAPL)
    assert summaries[AAPL].last_error is None
    stored = await house.stored(AAPL)
    assert stored[-1] == Candle(to_ms(FRIDAY.replace(hour=17, minute=45)), *PRICES)
    assert all(candle.at_ms % M15.ms == 0 for candle in stored)


async def test_no_more_is_asked_for_than_yahoo_keeps(house: House, site: Any) -> None:
    house.timeframe = M15
    house.provider._history = lambda: 100_000  # type: ignore[attr-defined]
    await house.update(AAPL)
    assert site.asked[0][1] == int((house.clock.now - timedelta(days=59)).timestamp())


async def test_a_weekend_brings_nothing_and_is_no_error(house: House, site: Any) -> None:
    house.clock.now = FRIDAY + timedelta(days=1)
    await house.update(AAPL)
    house.clock.advance(days=1)
    summaries = await house.update(AAPL)
    assert summaries[AAPL].error is None
    assert summaries[AAPL].gaps == 0


async def test_a_ticker_that_yahoo_has_not_is_named_and_the_others_go_on(house: House) -> None:
    summaries = await house.update("NOPE", AAPL)
    assert summaries[AAPL].rows == ROWS
    for _ in range(3):  # yfinance looks elsewhere the first times
        summaries = await house.next_tick("NOPE", AAPL)
        error = summaries["NOPE"].error
        assert error is not None
        assert error.code == "unknown_symbol"
        assert error.message.startswith("Yahoo has nothing of NOPE")


async def test_too_many_requests_end_all_of_them_for_a_while(house: House, site: Any) -> None:
    await house.update(AAPL, MSFT)
    site.faults[AAPL] = Answer(b"Too Many Requests", status=429)
    house.clock.now = FRIDAY + timedelta(days=1)
    summaries = await house.update(AAPL)
    error = summaries[AAPL].error
    assert error is not None
    assert error.code == "unavailable"
    site.asked.clear()
    summaries = await house.update(MSFT)
    error = summaries[MSFT].error
    assert error is not None
    assert error.message == "Yahoo wants no requests before 2026-11-21 00:01:00 UTC"
    assert not site.asked
    site.faults.clear()
    summaries = await house.next_tick(AAPL, MSFT)
    assert (summaries[AAPL].rows, summaries[MSFT].rows) == (ROWS + 1, ROWS + 1)


FAULTS = {
    "an error of the server": Answer(b"{}", status=500),
    "a page of HTML": Answer(b"<html>Will be right back</html>"),
    "half of an answer": Answer(b'{"chart":{"result":[{"meta":'),
    "something else": Answer(b'{"finance":{"error":null}}'),
    "a connection that is reset": Fault.RESET,
    "a connection that ends half-way": Fault.CUT_SHORT,
    "silence": Fault.SILENCE,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_fault_is_shown_harms_nobody_and_heals(
    house: House, site: Any, fault: Answer | Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.market.providers.yahoo._REQUEST_S", 2.0)
    await house.update(AAPL, MSFT)
    house.clock.now = FRIDAY + timedelta(days=1)
    site.faults[AAPL] = fault
    summaries = await house.update(AAPL, MSFT)
    assert summaries[AAPL].rows == ROWS
    assert summaries[AAPL].error is not None
    assert summaries[MSFT].rows == ROWS + 1
    site.faults.clear()
    summaries = await house.next_tick(AAPL, MSFT)
    assert summaries[AAPL].rows == ROWS + 1
    assert summaries[AAPL].error is None


@pytest.mark.parametrize(
    ("ticker", "fault"),
    [
        ("NEWA", Answer(b"{}", status=500)),
        ("NEWB", Answer(b"<html>Will be right back</html>")),
        ("NEWC", Answer(b'{"chart":{"result":null,"error":{"code":"Not Found"}}}', status=404)),
    ],
)
async def test_a_first_answer_that_was_no_good_is_not_remembered(
    house: House, site: Any, ticker: str, fault: Answer
) -> None:
    site.symbols.add(ticker)
    site.faults[ticker] = fault
    summaries = await house.update(ticker)
    assert summaries[ticker].error is not None
    site.faults.clear()
    summaries = await house.next_tick(ticker)
    assert summaries[ticker].error is None
    assert summaries[ticker].rows == ROWS


def tuesday(name: str, value: float | None) -> Callable[[dict[str, Any]], None]:
    """Change one number of the third of November, in whatever answer it is."""
    opening_s = int(datetime(2026, 11, 3, 14, 30, tzinfo=UTC).timestamp())

    def spoil(chart: dict[str, Any]) -> None:
        if opening_s in chart["timestamp"]:
            row = chart["timestamp"].index(opening_s)
            chart["indicators"]["quote"][0][name][row] = value

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [tuesday("close", None), tuesday("high", 1.0), tuesday("open", -20.0), tuesday("volume", -1)],
    ids=["no close", "a high below the low", "a negative price", "a negative volume"],
)
async def test_no_wrong_candle_is_stored_and_the_right_one_takes_its_place(
    house: House, site: Any, spoil: Callable[[dict[str, Any]], None]
) -> None:
    site.spoiled[AAPL] = spoil
    summaries = await house.update(AAPL, MSFT)
    assert {candle[1:] for candle in await house.stored(AAPL)} == {PRICES}
    assert (summaries[AAPL].rows, summaries[AAPL].gaps) == (ROWS - 1, 1)
    assert summaries[MSFT].rows == ROWS
    site.spoiled.clear()
    summaries = await house.next_tick(AAPL, MSFT)
    assert (summaries[AAPL].rows, summaries[AAPL].gaps) == (ROWS, 0)
