"""Forecasts as they would have been served: trained on what was known, made candle by candle."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from services.trainer.domain.jobs import FitJob, Inputs
from services.trainer.domain.labels import returns_ahead
from services.trainer.domain.slopes import Slopes, borne_out, expected_beside
from services.trainer.fit import fit
from shared.contracts.records import Forecast, Score
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon
from shared.model.artifact import decode
from shared.model.candles import Candles
from shared.model.forecast import forecast
from shared.model.history import WARMUP, rows_to_read
from shared.model.reach import atr_pct

#: A first training sees at least so many candles behind those that its features need: two years.
FIRST_ROWS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One training and what its model said of the candles up to the next one: `forecasts` of each
    in `rows`, which are places in the symbol's series. `learnt_to` is the last row whose label it
    was fitted on, `up_share` of those rose, by horizon.
    """

    learnt_to: int
    up_share: dict[Horizon, float]
    scores: tuple[Score, ...]
    rows: range
    forecasts: tuple[tuple[Forecast, ...], ...]


def walk(
    series: Mapping[Symbol, Candles], job: FitJob, *, every: int, pool: Executor
) -> Iterator[dict[Symbol, Lesson]]:
    """Train every symbol at each `every`-th candle of the market's calendar, the way a run does:
    the slopes of a symbol's calibration lean on those that the others' last models bear out.

    A forecast is given nothing but the candles up to its own.
    """
    calendar = np.unique(np.concatenate([candles["at"] for candles in series.values()]))
    slopes: dict[Symbol, Slopes] = {}
    for now, then in pairwise([*calendar[::every], calendar[-1] + 1]):
        waiting = {}
        for symbol, candles in series.items():
            begin, end = (int(at) for at in np.searchsorted(candles["at"], (now, then)))
            if begin < WARMUP + FIRST_ROWS or begin == end:
                continue
            others = [slopes[other] for other in slopes if other != symbol]
            expected = expected_beside(others, job.horizons)
            order = replace(job, symbol=symbol, slopes=expected)
            first = max(begin - rows_to_read(job.timeframe, job.plan.days_back), 0)
            part = np.array(candles[first:end])
            waiting[symbol] = pool.submit(_lesson, order, part, begin - first, first)
        lessons = {symbol: lesson.result() for symbol, lesson in waiting.items()}
        slopes |= {symbol: borne_out(lesson.scores) for symbol, lesson in lessons.items()}
        if lessons:
            yield lessons


def _lesson(job: FitJob, candles: Candles, known: int, first: int) -> Lesson:
    """Train on the first `known` candles, which begin at row `first` of their series, and say what
    the model says of the rest.
    """
    result = fit(job, Inputs(candles=candles[:known].tobytes()), lambda *_: None)
    model = decode(result.artifact)
    learnt_to = known - 1 - result.horizons[-1]
    learnt = slice(learnt_to + 1 - result.rows, learnt_to + 1)
    returns = returns_ahead(candles["close"], result.horizons)[learnt]
    return Lesson(
        learnt_to=first + learnt_to,
        up_share=dict(zip(result.horizons, (returns > 0.0).mean(axis=0).tolist(), strict=True)),
        scores=result.scores,
        rows=range(first + known, first + len(candles)),
        forecasts=tuple(forecast(model, candles[: row + 1]) for row in range(known, len(candles))),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """All forecasts of one symbol and horizon whose truth is known, in the order of time. Returns
    in percent; `base` is the share of rises among the rows that each model had learnt from, and
    `atr_times` the average true range as a multiple of its median over the column.
    """

    symbol: Symbol
    horizon: Horizon
    at: npt.NDArray[np.int64]
    p_up: npt.NDArray[np.float64]
    returns: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    base: npt.NDArray[np.float64]
    atr_times: npt.NDArray[np.float64]

    @property
    def risen(self) -> npt.NDArray[np.float64]:
        return (self.returns > 0.0).astype(np.float64)

    @property
    def held(self) -> npt.NDArray[np.bool_]:
        return (self.low <= self.returns) & (self.returns <= self.high)


def columns(symbol: Symbol, candles: Candles, lessons: list[Lesson]) -> list[Column]:
    """What the lessons of one symbol foretold, against what came of it: one column per horizon."""
    horizons = tuple(each.horizon for each in lessons[0].forecasts[0])
    returns = returns_ahead(candles["close"], horizons)
    moved = np.concatenate([np.full(WARMUP, np.nan), atr_pct(candles)])
    found = []
    for place, horizon in enumerate(horizons):
        said = [
            (row, each[place].p_up, *each[place].interval_pct, lesson.up_share[horizon])
            for lesson in lessons
            for row, each in zip(lesson.rows, lesson.forecasts, strict=True)
            if row < len(candles) - horizon
        ]
        table = np.array(said).T
        rows = table[0].astype(np.intp)
        found.append(
            Column(
                symbol=symbol,
                horizon=horizon,
                at=candles["at"][rows],
                p_up=table[1],
                returns=returns[rows, place],
                low=table[2],
                high=table[3],
                base=table[4],
                atr_times=moved[rows] / np.median(moved[rows]),
            )
        )
    return found
