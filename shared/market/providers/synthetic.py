"""Synthetic candles, for tests of scale. They are made up: no market ever traded them, and no
model of them says anything about one.

A symbol is a random walk with volatility clustering (GARCH), made in blocks. Each block runs from
one anchor price to the next, and both anchors follow from the symbol and the block's number alone,
so that any stretch of time can be made without what lies before it. The same symbol in another
timeframe is another walk.
"""

import asyncio
import math
import re
from collections.abc import Iterator
from itertools import accumulate
from random import Random
from typing import Final

from shared.contracts.errors import UnknownSymbol
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import Candle
from shared.market.checks import DAY_MS
from shared.market.providers.provider import MOST_PER_CALL
from shared.runtime.clock import Clock, to_ms

DEFAULT_COUNT: Final = 20
MOST: Final = 9999
_NAME: Final = re.compile(r"SYN-\d{4}")
_BLOCK: Final = 512
#: How far back a new series begins: four years, but not more candles than this.
_HISTORY_MS: Final = 4 * 365 * DAY_MS
_HISTORY_CANDLES: Final = 20_000

#: Standard deviation of a day's logarithmic return.
_DAILY_VOLATILITY: Final = 0.03
#: GARCH(1,1): the variance remembers the last return and itself, around its long-run level.
_ALPHA: Final = 0.10
_BETA: Final = 0.88
#: Anchors are sums of noises, each half as often renewed as the one before and of twice its
#: variance: neighbours differ by as much as a walk over one block does, and no price runs away.
_OCTAVES: Final = 8


class Synthetic:
    """An invented market that never closes, on real time. Deterministic in symbol, timeframe and
    time: every process sees the same candles.
    """

    def __init__(self, *, count: int, clock: Clock) -> None:
        self._symbols = tuple(Symbol(f"SYN-{number:04}") for number in range(1, count + 1))
        self._clock = clock

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, after_ms: int | None
    ) -> list[Candle]:
        if not _NAME.fullmatch(symbol):
            raise UnknownSymbol(f"{symbol} is not synthetic: those are SYN-0001 to SYN-{MOST}")
        end = self.now_ms() // timeframe.ms
        first = end - min(_HISTORY_CANDLES, _HISTORY_MS // timeframe.ms)
        if after_ms is not None:
            first = after_ms // timeframe.ms + 1
        end = min(end, first + MOST_PER_CALL)
        return await asyncio.to_thread(_made, symbol, timeframe, first, end)

    def now_ms(self) -> int:
        return to_ms(self._clock())

    def symbols(self) -> tuple[Symbol, ...]:
        return self._symbols


def _made(symbol: Symbol, timeframe: Timeframe, first: int, end: int) -> list[Candle]:
    """The candles numbered `first` to `end`, excluded, counting from the epoch."""
    candles: list[Candle] = []
    for number in range(first // _BLOCK, (end - 1) // _BLOCK + 1):
        candles += _block(symbol, timeframe, number)
    skipped = first - first // _BLOCK * _BLOCK
    return candles[skipped : skipped + end - first]


def _block(symbol: Symbol, timeframe: Timeframe, number: int) -> Iterator[Candle]:
    random = Random(f"{symbol} {timeframe} {number}")  # noqa: S311 - reproducible on purpose
    volatility = _DAILY_VOLATILITY * math.sqrt(timeframe.ms / DAY_MS)
    start = _anchor(symbol, timeframe, number, volatility)
    end = _anchor(symbol, timeframe, number + 1, volatility)
    returns = list(_returns(random, volatility))
    correction = (end - start - sum(returns)) / _BLOCK
    path = accumulate((r + correction for r in returns), initial=start)
    opened = math.exp(next(path))
    at_ms = number * _BLOCK * timeframe.ms
    for level in path:
        close = math.exp(level)
        yield _candle(random, at_ms, opened, close, volatility)
        opened, at_ms = close, at_ms + timeframe.ms


def _returns(random: Random, volatility: float) -> Iterator[float]:
    level = variance = volatility**2
    for _ in range(_BLOCK):
        step = random.gauss(0.0, math.sqrt(variance))
        yield step
        variance = (1 - _ALPHA - _BETA) * level + _ALPHA * step**2 + _BETA * variance


def _candle(random: Random, at_ms: int, opened: float, close: float, volatility: float) -> Candle:
    reach = abs(math.log(close / opened)) + volatility
    return Candle(
        at_ms,
        opened,
        max(opened, close) * math.exp(reach * random.random() / 2),
        min(opened, close) * math.exp(-reach * random.random() / 2),
        close,
        1000.0 * reach / volatility * math.exp(random.gauss(0.0, 0.5)),
    )


def _anchor(symbol: Symbol, timeframe: Timeframe, number: int, volatility: float) -> float:
    """The logarithm of the price at the start of a block."""
    level = Random(symbol).uniform(math.log(1.0), math.log(10_000.0))  # noqa: S311 - as above
    scale = volatility * math.sqrt(_BLOCK / (2 * _OCTAVES))
    for octave in range(_OCTAVES):
        random = Random(f"{symbol} {timeframe} {octave} {number >> octave}")  # noqa: S311 - as above
        level += random.gauss(0.0, scale * math.sqrt(2.0**octave))
    return level
