"""What an exchange does wrong is shown and heals; nothing wrong is stored, and the others go on."""

from collections.abc import Callable

import pytest

from tests.support.binance import Binance, Row, price
from tests.support.marketplace import BTC, ETH, HISTORY, M15, House
from tests.support.stand_in import Answer, Fault

FAULTS: dict[str, Answer | Fault] = {
    "an error of the server": Answer(b"{}", status=500),
    "a page of HTML with an error": Answer(b"<html>Bad gateway</html>", status=502),
    "a page of HTML without one": Answer(b"<html>Please verify that you are human</html>"),
    "a refusal by country": Answer(b'{"code":0,"msg":"restricted location"}', status=451),
    "an error in an answer that is fine": Answer(b'{"code":-1000,"msg":"An unknown error"}'),
    "half of an answer": Answer(b"[[1700000000000,"),
    "nothing": Answer(b""),
    "rows that are too short": Answer(b"[[1795176000000,1,2]]"),
    "silence": Fault.SILENCE,
    "a connection that is reset": Fault.RESET,
    "a connection that ends half-way": Fault.CUT_SHORT,
}


#: Of these ccxt makes a page without candles. Nothing comes of it, but nothing tells of it either.
MISUNDERSTOOD = {
    "something else": Answer(b'{"serverTime":1700000000000}'),
    "rows that are no rows": Answer(b"[1700000000000, null]"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_fault_is_shown_harms_nobody_and_heals(
    house: House, binance: Binance, fault: Answer | Fault
) -> None:
    await house.update(BTC, ETH)
    binance.faults[BTC] = lambda number: fault
    summaries = await house.next_tick(BTC, ETH)
    assert summaries[BTC].rows == HISTORY
    error = summaries[BTC].error
    assert error is not None
    assert error.code in {"unavailable", "candles_refused"}
    assert summaries[ETH].rows == HISTORY + 1
    binance.faults.clear()
    summaries = await house.next_tick(BTC, ETH)
    assert summaries[BTC].rows == HISTORY + 2
    assert summaries[BTC].error is None
    assert summaries[BTC].last_error == error


@pytest.mark.parametrize("fault", [*FAULTS.values(), *MISUNDERSTOOD.values()])
async def test_a_symbol_that_never_gave_a_candle_says_so(
    house: House, binance: Binance, fault: Answer | Fault
) -> None:
    binance.faults[BTC] = lambda number: fault
    summaries = await house.update(BTC, ETH)
    assert summaries[BTC].rows == 0
    assert summaries[BTC].error is not None
    assert summaries[ETH].rows == HISTORY


def third(change: Callable[[Row], Row]) -> Callable[[list[Row]], list[Row]]:
    """Change the third row of a page."""
    return lambda rows: [change(row) if n == 2 else row for n, row in enumerate(rows)]


SPOILED: dict[str, tuple[Callable[[list[Row]], list[Row]], str | None]] = {
    "a price that is no number": (third(lambda row: [row[0], "NaN", *row[2:]]), "not_finite"),
    "a price that is missing": (third(lambda row: [row[0], None, *row[2:]]), "malformed"),
    "a negative price": (third(lambda row: [row[0], "-1", *row[2:]]), "negative"),
    "a high below the low": (third(lambda row: [*row[:2], "1", *row[3:]]), "high_below_low"),
    "a time between two candles": (third(lambda row: [row[0] + 1, *row[1:]]), "misaligned_time"),
    "a candle of next year": (
        third(lambda row: [row[0] + 35_040 * M15.ms, *row[1:]]),
        "future",
    ),
    "a candle twice": (lambda rows: [*rows[:3], rows[2], *rows[3:]], "duplicate"),
    "the newest first": (lambda rows: rows[::-1], None),
    "half of the page": (lambda rows: rows[:7], None),
    "a hole": (lambda rows: [*rows[:2], *rows[3:]], None),
}


@pytest.mark.parametrize(("spoil", "reason"), SPOILED.values(), ids=SPOILED)
async def test_no_wrong_candle_is_stored_and_the_right_one_takes_its_place(
    house: House,
    binance: Binance,
    spoil: Callable[[list[Row]], list[Row]],
    reason: str | None,
) -> None:
    binance.spoiled[BTC] = spoil
    summaries = await house.update(BTC, ETH)
    assert all(candle == price(candle.at_ms) for candle in await house.stored(BTC))
    error = summaries[BTC].error
    assert (error.message.rpartition(" ")[2] if error else None) == reason
    assert summaries[ETH].rows == HISTORY
    binance.spoiled.clear()
    summaries = await house.next_tick(BTC, ETH)
    assert (summaries[BTC].rows, summaries[BTC].gaps) == (HISTORY + 1, 0)
    assert summaries[BTC].error is None
    assert all(candle == price(candle.at_ms) for candle in await house.stored(BTC))
