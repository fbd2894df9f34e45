from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from services.predictor.domain.sequel import needed_since_ms, sequel
from shared.contracts.terms import Timeframe
from shared.market.candles import ROW, between
from shared.model.candles import Candles
from shared.model.splits import MEMORY
from shared.runtime.clock import from_ms, to_ms
from tests.support.markets import random_walk, split_at
from tests.support.signals import signal

MARKET = random_walk(MEMORY + 10, timeframe=Timeframe.D1)
OWN = MEMORY + 1
SIGNAL = signal(timeframe=Timeframe.D1, candle_at=from_ms(int(MARKET["at"][OWN])))


def plain(candles: Candles) -> list[tuple[float, ...]]:
    return list(ROW.iter_unpack(candles[OWN + 1 :].tobytes()))


def test_without_a_split_it_is_the_candles_behind_the_signals_own() -> None:
    assert sequel(SIGNAL, MARKET.tobytes()) == plain(MARKET)


def test_of_no_candle_nothing_follows() -> None:
    assert sequel(SIGNAL, b"") == []


@pytest.mark.parametrize("row", [OWN + 1, OWN + 4])
@pytest.mark.parametrize("ratio", [2.0, 7.0, 0.1])
def test_a_split_changes_nothing(row: int, ratio: float) -> None:
    found = sequel(SIGNAL, split_at(MARKET, row, ratio).tobytes())
    prices = [row[:5] for row in found]
    assert prices == [pytest.approx(row[:5]) for row in plain(MARKET)]


def test_the_candles_before_a_split_stay_exactly_what_they_were() -> None:
    found = sequel(SIGNAL, split_at(MARKET, OWN + 4, 7.0).tobytes())
    assert found[:3] == plain(MARKET)[:3]


def test_two_splits_multiply() -> None:
    candles = random_walk(2 * MEMORY + 10, timeframe=Timeframe.D1)
    twice = split_at(split_at(candles, OWN + 1, 2.0), OWN + MEMORY + 1, 5.0)
    *_, last = sequel(SIGNAL, twice.tobytes())
    assert last[4] == pytest.approx(candles["close"][-1])


def test_a_split_up_to_the_signal_is_in_its_prices_already() -> None:
    split = split_at(MARKET, OWN, 2.0)
    assert sequel(SIGNAL, split.tobytes()) == plain(split)


@pytest.mark.parametrize("timeframe", Timeframe)
def test_enough_is_read_to_tell_a_split_at_the_first_candle_behind_it(
    timeframe: Timeframe,
) -> None:
    """Of a market that is open for six and a half hours on weekdays."""
    opens = []
    for day in range(-60, 1):
        begins = SIGNAL.candle_at.replace(hour=14, minute=30) + timedelta(days=day)
        if begins.weekday() < 5:
            most = max(int(6.5 * 3600 // timeframe.seconds), 1)
            opens += [begins + timedelta(seconds=timeframe.seconds * n) for n in range(most)]
    own = replace(SIGNAL, timeframe=timeframe, candle_at=opens[-1])
    candles = np.zeros(len(opens), MARKET.dtype)
    candles["at"] = [to_ms(at) for at in opens]
    read = between(candles.tobytes(), needed_since_ms(own), None)
    assert len(read) // ROW.size >= MEMORY
