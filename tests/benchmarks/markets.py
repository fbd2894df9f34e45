"""The candles that everything is measured on: the user's, or else bundled and made-up ones."""

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from shared.contracts.errors import CandlesRefused
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import pack
from shared.market.files import read_candles
from shared.market.providers.replay import Replay
from shared.model.candles import ROW, Candles
from shared.model.history import WARMUP
from shared.runtime.clock import from_ms, to_ms, utc_now
from tests.support.markets import planted_signal

#: Open time of a candle behind every replayed day.
_FAR_MS: Final = 4_102_444_800_000

_MADE_UP: Final = 6
_STRENGTH: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Series of one timeframe, and what they are."""

    source: str
    timeframe: Timeframe
    series: dict[Symbol, Candles]

    def long_enough(self, rows: int) -> list[Candles]:
        """The newest `rows` candles of every series that has so many.

        Raises:
            CandlesRefused: none has.
        """
        found = [candles[-rows:] for candles in self.series.values() if len(candles) >= rows]
        if not found:
            raise CandlesRefused(f"no series of {self.timeframe} has {rows} candles: {self.source}")
        return found

    def spans(self, rows: int) -> list[Candles]:
        """Stretches of `rows` candles that do not overlap: the newest of every series, then those
        before them, as far as they go.

        Raises:
            CandlesRefused: there is none.
        """
        found = self.long_enough(rows)
        for back in range(1, max(map(len, self.series.values())) // rows):
            older = (candles[-(back + 1) * rows : -back * rows] for candles in self.series.values())
            found += [candles for candles in older if len(candles) == rows]
        return found


def daily(folder: Path | None) -> Market:
    """Real daily candles: those of the folder, or else the bundled ones."""
    market = _imported(folder, Timeframe.D1)
    return market or Market(
        source="bundled real daily candles of AAPL, GOOG, IBM and MSFT, 2000 to 2013",
        timeframe=Timeframe.D1,
        series=asyncio.run(_bundled()),
    )


def quarterly(folder: Path | None, rows: int) -> Market:
    """Candles of a quarter of an hour: those of the folder, or else made up, `rows` of each."""
    market = _imported(folder, Timeframe.M15)
    return market or Market(
        source=f"made-up quarter-hourly candles, the next return foretold by the volume "
        f"(strength {_STRENGTH})",
        timeframe=Timeframe.M15,
        series={
            Symbol(f"SYN-{seed}"): planted_signal(
                rows, strength=_STRENGTH, seed=seed, timeframe=Timeframe.M15
            )
            for seed in range(_MADE_UP)
        },
    )


def days_of(candles: Candles, rows: int) -> int:
    """The calendar days that the newest `rows` candles were made in."""
    newest = candles["at"][-rows:]
    return int(newest[-1] - newest[0]) // 86_400_000 + 1


def with_history(rows: int) -> int:
    return rows + WARMUP


async def _bundled() -> dict[Symbol, Candles]:
    replay = await Replay.open(resume_after_ms=_FAR_MS, clock=utc_now)
    return {
        symbol: np.frombuffer(pack(await replay.candles(symbol, Timeframe.D1, None)), ROW)
        for symbol in replay.symbols()
    }


def _imported(folder: Path | None, timeframe: Timeframe) -> Market | None:
    """What the folder's files have of a timeframe; None where there is nothing."""
    series = _read(folder).get(timeframe) if folder else None
    if not series:
        return None
    first = min(int(candles["at"][0]) for candles in series.values())
    last = max(int(candles["at"][-1]) for candles in series.values())
    return Market(
        source=f"{len(series)} imported series of {timeframe}, "
        f"{from_ms(first):%Y-%m-%d} to {from_ms(last):%Y-%m-%d}",
        timeframe=timeframe,
        series=series,
    )


@cache
def _read(folder: Path) -> dict[Timeframe, dict[Symbol, Candles]]:
    """Every file that is one of candles; a read-me is not."""
    packed: dict[Timeframe, dict[Symbol, bytearray]] = defaultdict(lambda: defaultdict(bytearray))
    for path in sorted(folder.iterdir()):
        with suppress(CandlesRefused):
            for batch in read_candles(path, now_ms=to_ms(utc_now())):
                packed[batch.timeframe][batch.symbol] += pack(batch.candles)
    return {
        timeframe: {
            symbol: np.frombuffer(bytes(rows), ROW) for symbol, rows in each.items() if rows
        }
        for timeframe, each in packed.items()
    }
