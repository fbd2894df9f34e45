"""What the signals of the forecasts would have earned on paper, against owning the shares."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.contracts.configuration import Configuration
from shared.contracts.records import Prediction
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.contracts.trading import Exit, Signal, SignalParameters
from shared.model.candles import Candles
from shared.model.history import WARMUP
from shared.model.reach import atr_pct
from shared.runtime.clock import from_ms
from shared.trading.settlement import settle
from shared.trading.signals import Outlook, Standing, decide
from tests.benchmarks.evaluation.findings import Between, draws, mean_between
from tests.benchmarks.evaluation.walk import Lesson

#: A signal ends long before so many candles have followed.
_FOLLOWED: Final = 200

_DAY_MS: Final = 86_400_000

Worth = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A signal that was entered and has ended: `net_pct` of its stake, after all costs."""

    at_ms: int
    net_pct: float
    leverage: float
    days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All trades of one symbol, or of several. `total_pct` is what a purse has gained that goes
    into each of them as a whole, and `drawdown_pct` its deepest fall from one trade to another;
    `owning_pct` and `owning_drawdown_pct` are those of who bought at the first open and sold at the
    last close, at the same fees. They are None where there are several symbols.
    """

    symbol: Symbol | None
    trades: int
    hit_rate: float | None
    mean_net_pct: Between | None
    largest_leverage: float | None
    in_market: float | None = None
    total_pct: float | None = None
    drawdown_pct: float | None = None
    owning_pct: float | None = None
    owning_drawdown_pct: float | None = None


def trades(
    symbol: Symbol,
    timeframe: Timeframe,
    candles: Candles,
    lessons: list[Lesson],
    rules: Configuration,
) -> list[Trade]:
    """Every candle is asked as the predictor is when it closes, with the parameters that nobody has
    evolved. What a signal comes to is known to later candles only once it has ended.

    A signal that has not ended with the last candle is left out.
    """
    found = []
    standing, ends = Standing(), None
    for prediction, lesson, row in _predictions(symbol, timeframe, candles, lessons):
        now = prediction.candle_at + timedelta(seconds=timeframe.seconds)
        if ends is not None and ends.outcome is not None and ends.outcome.exit_at <= now:
            standing, ends = Standing(ended=ends), None
        outlook = Outlook(
            symbol=symbol, timeframe=timeframe, prediction=prediction, scores=lesson.scores
        )
        decided = decide(outlook, standing, SignalParameters(), rules, now)
        if not isinstance(decided, Signal):
            continue
        outcome = settle(decided, candles[row : row + _FOLLOWED].tolist())
        if outcome is None:
            break
        ends = replace(decided, outcome=outcome)
        standing = Standing(open=decided)
        if outcome.exit is not Exit.MISSED:
            assert outcome.entry_at is not None
            held = outcome.exit_at - outcome.entry_at
            found.append(
                Trade(
                    at_ms=int(candles["at"][row]),
                    net_pct=100.0 * outcome.profit_cents / decided.stake_cents,
                    leverage=decided.leverage,
                    days=held / timedelta(days=1),
                )
            )
    return found


def _predictions(
    symbol: Symbol, timeframe: Timeframe, candles: Candles, lessons: list[Lesson]
) -> Iterator[tuple[Prediction, Lesson, int]]:
    moved = atr_pct(candles)
    for number, lesson in enumerate(lessons):
        for row, forecasts in zip(lesson.rows, lesson.forecasts, strict=True):
            at = from_ms(int(candles["at"][row]))
            prediction = Prediction(
                symbol=symbol,
                timeframe=timeframe,
                predictions=forecasts,
                model_version=f"{number}",
                candle_at=at,
                generated_at=at,
                expires_at=at,
                close=float(candles["close"][row]),
                atr_pct=float(moved[row - WARMUP]),
            )
            yield prediction, lesson, row


def result(
    symbol: Symbol,
    found: list[Trade],
    candles: Candles,
    lessons: list[Lesson],
    rules: Configuration,
) -> Result:
    first, last = lessons[0].rows[0], lessons[-1].rows[-1]
    days = (candles["at"][last] - candles["at"][first]) / _DAY_MS
    purse = np.cumprod([1.0, *(1.0 + trade.net_pct / 100.0 for trade in found)])
    costs = 1.0 - 2.0 * (rules.fee_pct + rules.slippage_pct) / 100.0
    owned = candles["close"][first + 1 : last + 1] / candles["open"][first + 1]
    return replace(
        pooled(found),
        symbol=symbol,
        in_market=sum(trade.days for trade in found) / days,
        total_pct=100.0 * float(purse[-1] - 1.0),
        drawdown_pct=_drawdown_pct(purse),
        owning_pct=100.0 * float(owned[-1] * costs - 1.0),
        owning_drawdown_pct=_drawdown_pct(owned),
    )


def pooled(found: list[Trade]) -> Result:
    net = np.array([trade.net_pct for trade in found])
    at = np.array([trade.at_ms for trade in found], np.int64)
    return Result(
        symbol=None,
        trades=len(found),
        hit_rate=float((net > 0.0).mean()) if found else None,
        mean_net_pct=mean_between(net, draws(at)) if found else None,
        largest_leverage=max((trade.leverage for trade in found), default=None),
    )


def _drawdown_pct(worth: Worth) -> float:
    return 100.0 * float((1.0 - worth / np.maximum.accumulate(worth)).max())
