import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from shared.contracts.errors import InvalidSetting, UnknownSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle
from shared.market.checks import check
from shared.market.providers.provider import MOST_PER_CALL
from shared.market.providers.replay import Replay, ReplayClock

DAY = 86_400_000
START = datetime(2026, 11, 20, 12, tzinfo=UTC)
AAPL = Symbol("AAPL")
GOOG = Symbol("GOOG")
D1 = Timeframe.D1


class WallClock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def wall() -> WallClock:
    return WallClock()


async def opened(wall: WallClock, resume_after_ms: int | None = None) -> Replay:
    return await Replay.open(resume_after_ms=resume_after_ms, clock=wall, step_s=3.0)


def test_the_clock_steps_from_close_to_close_and_stops_behind_the_last_day() -> None:
    friday, monday, tuesday = 0, 3 * DAY, 4 * DAY
    clock = ReplayClock(days=[friday, monday, tuesday], position=0, started_at=START, step_s=3.0)
    shown = [clock.now_ms(START + timedelta(seconds=s)) for s in (-9, 0, 2.9, 3, 6, 9, 10**9)]
    closes = [day + DAY for day in (friday, friday, friday, monday, tuesday, tuesday, tuesday)]
    assert shown == closes


async def test_every_symbol_begins_with_history_to_train_on(wall: WallClock) -> None:
    replay = await opened(wall)
    assert replay.symbols() == ("AAPL", "GOOG", "IBM", "MSFT")
    for symbol in replay.symbols():
        assert 1000 <= len(await replay.candles(symbol, D1, None)) <= MOST_PER_CALL


async def test_the_candles_are_the_real_ones_with_their_own_dates(wall: WallClock) -> None:
    replay = await opened(wall)
    first = (await replay.candles(AAPL, D1, None))[0]
    at_ms = int(datetime(2000, 3, 1, tzinfo=UTC).timestamp() * 1000)
    assert first == Candle(at_ms, 118.56, 132.06, 118.5, 130.31, 9616100.0)


async def test_every_candle_of_the_whole_replay_is_sound(wall: WallClock) -> None:
    replay = await opened(wall)
    wall.advance(10**6)
    for symbol in replay.symbols():
        candles = await replay.candles(symbol, D1, None)
        checked = check(candles, timeframe=D1, after=None, now_ms=replay.now_ms())
        assert checked.accepted == candles


async def test_no_stock_splits_in_the_last_three_years_before_the_start(wall: WallClock) -> None:
    replay = await opened(wall)
    since = replay.now_ms() - 3 * 365 * DAY
    for symbol in replay.symbols():
        closes = [c.close for c in await replay.candles(symbol, D1, since)]
        assert all(0.7 < b / a < 1.4 for a, b in pairwise(closes))


async def test_each_step_closes_one_candle_of_each_symbol(wall: WallClock) -> None:
    replay = await opened(wall)
    newest = {s: (await replay.candles(s, D1, None))[-1].at_ms for s in replay.symbols()}
    assert len(set(newest.values())) == 1
    for symbol in replay.symbols():
        assert await replay.candles(symbol, D1, newest[symbol]) == []
    wall.advance(3.0)
    for symbol in replay.symbols():
        (candle,) = await replay.candles(symbol, D1, newest[symbol])
        assert candle.at_ms + DAY == replay.now_ms()
    wall.advance(30.0)
    assert len(await replay.candles(AAPL, D1, newest[AAPL])) == 11


async def test_a_restart_goes_on_behind_the_newest_candle_stored(wall: WallClock) -> None:
    replay = await opened(wall)
    wall.advance(300.0)
    stored = (await replay.candles(AAPL, D1, None))[-1].at_ms
    wall.advance(86_400.0)
    resumed = await opened(wall, stored)
    assert resumed.now_ms() == stored + DAY
    assert await resumed.candles(AAPL, D1, stored) == []
    wall.advance(3.0)
    assert len(await resumed.candles(AAPL, D1, stored)) == 1


async def test_a_store_that_is_behind_the_start_is_caught_up(wall: WallClock) -> None:
    fresh = await opened(wall)
    old = (await fresh.candles(AAPL, D1, None))[10].at_ms
    resumed = await opened(wall, old)
    assert resumed.now_ms() == fresh.now_ms()


async def test_the_end_is_quiet(wall: WallClock) -> None:
    replay = await opened(wall)
    wall.advance(10**6)
    last = (await replay.candles(GOOG, D1, None))[-1].at_ms
    assert last == int(datetime(2013, 3, 1, tzinfo=UTC).timestamp() * 1000)
    resumed = await opened(wall, last)
    wall.advance(10**6)
    assert await resumed.candles(GOOG, D1, last) == []
    assert resumed.now_ms() == last + DAY


async def test_the_same_clock_gives_the_same_candles(wall: WallClock) -> None:
    one, two = await opened(wall), await opened(wall)
    wall.advance(60.0)
    assert await one.candles(GOOG, D1, None) == await two.candles(GOOG, D1, None)


async def test_a_symbol_outside_the_replay_is_unknown(wall: WallClock) -> None:
    replay = await opened(wall)
    with pytest.raises(UnknownSymbol, match="AAPL, GOOG, IBM, MSFT"):
        await replay.candles(Symbol("FB"), D1, None)


async def test_another_timeframe_says_which_one_there_is(wall: WallClock) -> None:
    replay = await opened(wall)
    with pytest.raises(InvalidSetting, match="no 15m candles, only 1d"):
        await replay.candles(AAPL, Timeframe.M15, None)


async def test_without_the_data_package_the_extra_is_named(
    wall: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bokeh_sampledata", None)
    with pytest.raises(InvalidSetting, match=r"pip install 'evertrain\[demo\]'"):
        await opened(wall)
