"""How often `shared.model.splits` errs: `python -m tests.benchmarks.split_errors [DIR]`.

On the candles of the folder's files, or else on the bundled ones, which hold three real splits that
nobody took out. A crash is a real day of news, told by a gap of three usual moves and 2 % or more,
that is made as large as a split: once with the candle and the volume of that day, once with those
grown by the root of what the gap has grown by.
"""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from shared.model.candles import Candles
from shared.model.splits import MEMORY, RATIOS, Split, adjusted
from tests.benchmarks.markets import Market, daily, quarterly
from tests.support.markets import split_at

_PER_SERIES: Final = 10
_PER_GAP: Final = 20


def main(folder: Path | None) -> None:
    for market in (daily(folder), *([quarterly(folder, 0)] if folder else [])):
        rng = np.random.default_rng(0)
        series = [each for each in market.series.values() if len(each) > MEMORY + 1]
        _say(f"{market.source}: {sum(map(len, series)):,} candles")
        for symbol, split in _found(market):
            _say(f"  taken for a split: {symbol}, {split}")
        for ratio in RATIOS:
            made = [_made(rng, each, float(ratio)) for each in series for _ in range(_PER_SERIES)]
            missed = sum(split is None or split.ratio != ratio for split, _ in made)
            wrong = sum(split is not None and split.volume != truly for split, truly in made)
            _say(
                f"  {ratio}: missed {missed / len(made):.1%}, volume wrong {wrong / len(made):.1%}"
            )
        for grown in (False, True):
            crashes = [_crashed(rng, *news, grown) for each in series for news in _news(each)]
            taken = sum(split is not None for split in crashes)
            candle = "a wilder" if grown else "that day's"
            _say(f"  crashes with {candle} candle: {taken} of {len(crashes)} taken for a split")


def _found(market: Market) -> Iterator[tuple[str, Split]]:
    for symbol, candles in market.series.items():
        for split in adjusted(candles)[1]:
            yield symbol, split


def _made(rng: np.random.Generator, candles: Candles, ratio: float) -> tuple[Split | None, bool]:
    """What is made of a split at a random row, and whether the volume stepped with it."""
    row, stepped = int(rng.integers(MEMORY, len(candles))), bool(rng.integers(2))
    return _judged(candles, row, ratio, volume=stepped), stepped


def _news(candles: Candles) -> Iterator[tuple[Candles, int, float]]:
    """Real gaps far outside the usual, and how large they are as logarithms."""
    gaps = np.log(candles["open"][1:] / candles["close"][:-1])
    for row in np.flatnonzero(np.abs(gaps) > 0.02) + 1:
        if row >= MEMORY:
            before = candles[row - MEMORY : row]
            ranges = np.log(before["high"] / before["low"])
            if abs(gaps[row - 1]) > 3.0 * np.median(ranges):
                for _ in range(_PER_GAP):
                    yield candles, int(row), float(gaps[row - 1])


def _crashed(
    rng: np.random.Generator, candles: Candles, row: int, gap: float, grown: bool
) -> Split | None:
    size = rng.uniform(0.35, 1.2)
    crash = candles[row - MEMORY : row + 1].copy()
    if grown:
        growth = math.sqrt(size / abs(gap))
        crash["volume"][-1] *= growth
        crash["high"][-1] *= (crash["high"][-1] / crash["low"][-1]) ** (growth - 1.0)
    return _judged(crash, MEMORY, math.exp(gap - math.copysign(size, gap)), volume=False)


def _judged(candles: Candles, row: int, ratio: float, *, volume: bool) -> Split | None:
    near = candles[row - MEMORY : row + 1]
    _, found = adjusted(split_at(near, MEMORY, ratio, volume=volume))
    return found[0] if found else None


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
