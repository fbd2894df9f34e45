import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from shared.contracts.errors import UnknownSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle
from shared.market.checks import check
from shared.market.providers.provider import MOST_PER_CALL
from shared.market.providers.synthetic import Synthetic

NOW = datetime(2026, 11, 20, 12, 7, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
SYN = Symbol("SYN-0001")
M15 = Timeframe.M15


def market(now: datetime = NOW) -> Synthetic:
    return Synthetic(count=3, clock=lambda: now)


async def everything(provider: Synthetic, symbol: Symbol, timeframe: Timeframe) -> list[Candle]:
    found: list[Candle] = []
    while rows := await provider.candles(symbol, timeframe, found[-1].at_ms if found else None):
        found += rows
    return found


def test_its_symbols_say_that_they_are_synthetic() -> None:
    assert market().symbols() == ("SYN-0001", "SYN-0002", "SYN-0003")


@pytest.mark.parametrize("timeframe", Timeframe)
async def test_its_candles_are_sound_and_without_gaps_up_to_now(timeframe: Timeframe) -> None:
    candles = await everything(market(), SYN, timeframe)
    checked = check(candles, timeframe=timeframe, after=None, now_ms=NOW_MS)
    assert (checked.accepted, checked.gaps) == (candles, [])
    assert candles[-1].at_ms == NOW_MS // timeframe.ms * timeframe.ms - timeframe.ms
    assert len(candles) >= 1000


async def test_one_call_gives_a_bounded_number() -> None:
    assert len(await market().candles(SYN, M15, None)) == MOST_PER_CALL


async def test_a_candle_follows_from_symbol_and_time_alone() -> None:
    candles = await everything(market(), SYN, M15)
    for number in (0, 511, 512, 5000, len(candles) - 2):
        again = await market().candles(SYN, M15, candles[number].at_ms)
        assert again[:3] == candles[number + 1 : number + 4]


async def test_time_adds_candles_and_changes_none() -> None:
    newest = (await everything(market(), SYN, M15))[-1]
    assert await market().candles(SYN, M15, newest.at_ms) == []
    later = market(NOW + timedelta(minutes=45))
    assert len(await later.candles(SYN, M15, newest.at_ms)) == 3
    before_it = await later.candles(SYN, M15, newest.at_ms - M15.ms)
    assert before_it[0] == newest


async def test_each_symbol_is_another_walk() -> None:
    one = await market().candles(Symbol("SYN-0001"), M15, None)
    two = await market().candles(Symbol("SYN-0002"), M15, None)
    assert one[0].close != two[0].close


async def test_a_candle_opens_where_the_one_before_closed() -> None:
    candles = await market().candles(SYN, M15, None)
    for before, after in pairwise(candles):
        assert math.isclose(before.close, after.open, rel_tol=1e-9)


async def test_large_moves_come_in_clusters() -> None:
    """Returns are uncorrelated; their sizes are not."""
    candles = await everything(market(), SYN, M15)
    returns = [math.log(c.close / c.open) for c in candles]
    assert abs(correlation(returns[:-1], returns[1:])) < 0.03
    sizes = [abs(r) for r in returns]
    assert correlation(sizes[:-1], sizes[1:]) > 0.1


async def test_a_symbol_that_is_not_synthetic_is_unknown() -> None:
    with pytest.raises(UnknownSymbol, match="SYN-0001"):
        await market().candles(Symbol("BTC/USDT"), M15, None)


def correlation(xs: list[float], ys: list[float]) -> float:
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    spread = sum((x - mean_x) ** 2 for x in xs) * sum((y - mean_y) ** 2 for y in ys)
    return covariance / math.sqrt(spread)
