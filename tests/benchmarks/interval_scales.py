"""How much wider intervals are to be in wild times: `python -m tests.benchmarks.interval_scales
[--candles DIR]`.

Windows of daily candles, and of quarter-hourly ones, each followed by a month or a week that is
judged. Errors are returns over the average true range to some power: 0 knows of no volatility, and
1 believes that it stays as it is. What is printed, by horizon: how often the intervals held what
followed, then so in calm and in wild times (an average true range below three quarters and above
four thirds of the usual one), in percent; and their loss against that of the power 0. That is
Winkler's interval score (JASA 67, 1972): the width, and ten times how far a return was outside.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from services.trainer.domain.labels import returns_ahead
from services.trainer.domain.outlooks import middle
from shared.contracts.records import INTERVAL_COVERAGE
from shared.contracts.terms import Horizon
from shared.model.candles import Candles
from shared.model.history import WARMUP
from shared.model.reach import atr_pct
from shared.model.splits import adjusted
from tests.benchmarks.markets import Market, daily, quarterly

_HORIZONS: Final = (1, 3, 7, 14, 30)
_POWERS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_MADE_UP_ROWS: Final = 12_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Rows to learn from, and rows behind them that are judged."""

    rows: int
    later: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Of the rows behind one window: whether each was held, its loss, and its average true range
    over that window's median.
    """

    held: npt.NDArray[np.bool_]
    loss: npt.NDArray[np.float64]
    times: npt.NDArray[np.float64]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.interval_scales")
    parser.add_argument("--candles", type=Path, help="a folder of candle files")
    folder = parser.parse_args(arguments).candles
    _report(daily(folder), Window(rows=250, later=21))
    _report(daily(folder), Window(rows=502, later=21))
    _report(quarterly(folder, _MADE_UP_ROWS), Window(rows=8640, later=672))


def _report(market: Market, window: Window) -> None:
    _say(f"\n{market.source}: {window.rows} rows, then {window.later}")
    found: dict[tuple[float, Horizon], list[Judged]] = {}
    for candles in market.series.values():
        if len(candles) >= WARMUP + window.rows + window.later + _HORIZONS[-1]:
            for way, judged in _behind(candles, window):
                found.setdefault(way, []).append(judged)
    for power in _POWERS:
        cells = []
        for horizon in _HORIZONS:
            judged, plain = _joined(found[power, horizon]), _joined(found[0.0, horizon])
            calm, wild = judged.held[judged.times < 0.75], judged.held[judged.times > 4 / 3]
            loss = judged.loss.mean() / plain.loss.mean()
            cells.append(f"{horizon}: {_pct(judged.held)} ({_pct(calm)} {_pct(wild)}) {loss:.3f}")
        _say(f"  power {power:<4}  {'   '.join(cells)}")


def _behind(candles: Candles, window: Window) -> Iterator[tuple[tuple[float, Horizon], Judged]]:
    returns, moved = _known(candles)
    newest = len(returns) - _HORIZONS[-1] - window.later
    for end in range(window.rows, newest + 1, window.later):
        later = slice(end, end + window.later)
        times = moved / np.median(moved[end - window.rows : end])
        for power in _POWERS:
            scale = np.clip(times**power, 0.25, 4.0)
            for place, horizon in enumerate(_HORIZONS):
                learnt = slice(end - window.rows, end - horizon)
                low, high = middle(returns[learnt, place] / scale[learnt], horizon)
                bounds = low * scale[later], high * scale[later]
                yield (power, horizon), _judged(returns[later, place], bounds, times[later])


def _known(candles: Candles) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    candles, _ = adjusted(candles)
    returns = returns_ahead(candles["close"], _HORIZONS)[WARMUP:]
    return returns, np.maximum(atr_pct(candles), 1e-6)


def _judged(
    returns: npt.NDArray[np.float64],
    bounds: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    times: npt.NDArray[np.float64],
) -> Judged:
    low, high = bounds
    outside = np.maximum(low - returns, 0.0) + np.maximum(returns - high, 0.0)
    return Judged(
        held=outside == 0.0,
        loss=high - low + 2.0 / (1.0 - INTERVAL_COVERAGE) * outside,
        times=times,
    )


def _joined(parts: list[Judged]) -> Judged:
    return Judged(
        held=np.concatenate([each.held for each in parts]),
        loss=np.concatenate([each.loss for each in parts]),
        times=np.concatenate([each.times for each in parts]),
    )


def _pct(held: npt.NDArray[np.bool_]) -> str:
    return f"{100.0 * held.mean():.1f}" if len(held) else "-"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
