"""What a model sees of the market: one table of technical features, computed from candles alone.

O, H, L, C, V are open, high, low, close and volume of a candle, TP = (H + L + C) / 3, r the log
return to it; `X[k]` is X of k rows ago. `mean`, `sd`, `sum`, `max`, `min` run over the newest k
rows, EMA is `windows.exponential`. Every one of them is a ratio or a logarithm of one: none changes
when all prices, all volumes, or both are multiplied by constants, so none knows what a share costs.
None looks ahead, or further back than `WARMUP` rows. Where a quotient is undefined (a price that
stands still, no volume) it takes the value in brackets, or 0. Splits are undone before: see
`shared.model.splits`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from shared.model import windows
from shared.model.candles import Candles
from shared.model.history import WARMUP
from shared.model.windows import Series, change, lag, mean, noise, ratio, total

#: Rows of features, float32 [rows, features], C order.
Matrix = npt.NDArray[np.float32]

#: Counts every change of what a feature of the same name means.
_VERSION: Final = 1

_DAY_MS: Final = 86_400_000


class Market:
    """Candles as series, and what several features have in common."""

    def __init__(self, candles: Candles) -> None:
        self.at = candles["at"]
        self.open = candles["open"].astype(np.float64)
        self.high = candles["high"].astype(np.float64)
        self.low = candles["low"].astype(np.float64)
        self.close = candles["close"].astype(np.float64)
        self.volume = candles["volume"].astype(np.float64)

    @cached_property
    def log_close(self) -> Series:
        return np.log(self.close)

    @cached_property
    def returns(self) -> Series:
        return change(self.log_close)

    @cached_property
    def span(self) -> Series:
        return self.high - self.low

    @cached_property
    def log_span(self) -> Series:
        return np.log(self.high / self.low)

    @cached_property
    def typical(self) -> Series:
        return (self.high + self.low + self.close) / 3.0

    @cached_property
    def true_low(self) -> Series:
        return np.minimum(self.low, lag(self.close, 1))

    @cached_property
    def true_range(self) -> Series:
        return np.maximum(self.high, lag(self.close, 1)) - self.true_low

    @cached_property
    def directional(self) -> tuple[Series, Series]:
        """+DI and -DI over 14 rows, by simple sums."""
        up, down = change(self.high), -change(self.low)
        plus = np.where((up > down) & (up > 0.0), up, 0.0)
        minus = np.where((down > up) & (down > 0.0), down, 0.0)
        moved = total(self.true_range, 14)
        return ratio(total(plus, 14), moved), ratio(total(minus, 14), moved)

    @cached_property
    def macd(self) -> Series:
        fast = windows.weighted(self.log_close, windows.exponential(12))
        return fast - windows.weighted(self.log_close, windows.exponential(26))

    @cached_property
    def flow(self) -> Series:
        """Volume, signed by where in its range the candle closed (-1 lowest, 1 highest)."""
        place = ratio((self.close - self.low) - (self.high - self.close), self.span)
        return place * self.volume

    @cached_property
    def volume_change(self) -> Series:
        before = lag(self.volume, 1)
        return ratio(self.volume - before, self.volume + before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column: its name, its definition for people, and the series itself."""

    name: str
    definition: str
    series: Callable[[Market], Series]


def matrix(candles: Candles) -> Matrix:
    """Features of every row that has `WARMUP` rows before it: float32 [rows - WARMUP, features].

    A row's features are bit by bit the same however much history stands before those rows, so the
    newest `WARMUP + 1` candles are enough for the newest row. Every value is finite.
    """
    rows = max(len(candles) - WARMUP, 0)
    columns = np.empty((len(FEATURES), rows), np.float32)
    if rows:
        market = Market(candles)
        for column, feature in zip(columns, FEATURES, strict=True):
            column[:] = feature.series(market)[WARMUP:]
    return np.ascontiguousarray(columns.T)


def _return(m: Market, k: int) -> Series:
    return change(m.log_close, k)


def _lagged_return(m: Market, k: int) -> Series:
    return lag(m.returns, k)


def _volatility(m: Market, k: int) -> Series:
    return windows.deviation(m.returns, k)


def _volatility_ratio(m: Market) -> Series:
    return ratio(_volatility(m, 5), _volatility(m, 60), undefined=1.0)


def _parkinson(m: Market) -> Series:
    variance: Series = mean(m.log_span**2, 20) / (4.0 * np.log(2.0))
    return np.sqrt(variance)


def _garman_klass(m: Market) -> Series:
    body = np.log(m.close / m.open)
    variance = mean(0.5 * m.log_span**2 - (2.0 * np.log(2.0) - 1.0) * body**2, 20)
    return np.sqrt(np.maximum(variance, 0.0))


def _natr(m: Market, k: int) -> Series:
    return mean(m.true_range, k) / m.close


def _rsi(m: Market, k: int) -> Series:
    moves = change(m.close)
    return ratio(total(np.maximum(moves, 0.0), k), total(np.abs(moves), k), undefined=0.5)


def _macd_histogram(m: Market) -> Series:
    return m.macd - windows.weighted(m.macd, windows.exponential(9))


def _trix(m: Market) -> Series:
    once = windows.exponential(9)
    return windows.weighted(m.returns, np.convolve(np.convolve(once, once), once))


def _stochastic(m: Market) -> Series:
    return _donchian(m, 14)


def _stochastic_signal(m: Market) -> Series:
    return mean(_stochastic(m), 3)


def _donchian(m: Market, k: int) -> Series:
    low = windows.lowest(m.low, k)
    return ratio(m.close - low, windows.highest(m.high, k) - low, undefined=0.5)


def _cci(m: Market) -> Series:
    centre = mean(m.typical, 20)
    spread = windows.absolute_deviation(m.typical, 20)
    return ratio(m.typical - centre, 0.015 * spread, least=noise(centre))


def _ultimate(m: Market) -> Series:
    pressure = m.close - m.true_low
    parts = [
        weight * ratio(total(pressure, k), total(m.true_range, k), undefined=0.5)
        for weight, k in ((4.0, 7), (2.0, 14), (1.0, 28))
    ]
    return (parts[0] + parts[1] + parts[2]) / 7.0


def _aroon(m: Market) -> Series:
    since_high = windows.rows_since_highest(m.high, 26)
    since_low = windows.rows_since_highest(-m.low, 26)
    return (since_low - since_high) / 25.0


def _close_to_ema(m: Market, k: int) -> Series:
    return m.log_close - windows.weighted(m.log_close, windows.exponential(k))


def _slope(m: Market) -> Series:
    return windows.weighted(m.log_close, windows.trend(20))


def _efficiency(m: Market) -> Series:
    return ratio(change(m.log_close, 20), total(np.abs(m.returns), 20))


def _plus_di(m: Market) -> Series:
    return m.directional[0]


def _minus_di(m: Market) -> Series:
    return m.directional[1]


def _adx(m: Market) -> Series:
    plus, minus = m.directional
    return mean(ratio(np.abs(plus - minus), plus + minus), 14)


def _bollinger_position(m: Market) -> Series:
    centre = mean(m.close, 20)
    return ratio(m.close - centre, 2.0 * windows.deviation(m.close, 20), least=noise(centre))


def _bollinger_width(m: Market) -> Series:
    return 4.0 * windows.deviation(m.close, 20) / mean(m.close, 20)


def _body(m: Market) -> Series:
    return ratio(m.close - m.open, m.span)


def _upper_wick(m: Market) -> Series:
    return ratio(m.high - np.maximum(m.open, m.close), m.span)


def _lower_wick(m: Market) -> Series:
    return ratio(np.minimum(m.open, m.close) - m.low, m.span)


def _range(m: Market) -> Series:
    return m.log_span


def _gap(m: Market) -> Series:
    return np.log(m.open / lag(m.close, 1))


def _volume_level(m: Market, k: int) -> Series:
    usual = mean(m.volume, k)
    return ratio(m.volume, m.volume + usual, undefined=0.5)


def _volume_change(m: Market) -> Series:
    return m.volume_change


def _volume_trend(m: Market) -> Series:
    short = mean(m.volume, 5)
    return ratio(short, short + mean(m.volume, 60), undefined=0.5)


def _on_balance(m: Market) -> Series:
    return ratio(total(np.sign(change(m.close)) * m.volume, 20), total(m.volume, 20))


def _chaikin(m: Market) -> Series:
    return ratio(total(m.flow, 20), total(m.volume, 20))


def _money_flow(m: Market) -> Series:
    moves, money = change(m.typical), m.typical * m.volume
    rising, moving = np.where(moves > 0.0, money, 0.0), np.where(moves != 0.0, money, 0.0)
    return ratio(total(rising, 14), total(moving, 14), undefined=0.5)


def _vwap_distance(m: Market) -> Series:
    paid = ratio(total(m.typical * m.volume, 20), m.close * total(m.volume, 20), undefined=1.0)
    return -np.log(paid)


def _return_volume_correlation(m: Market) -> Series:
    return windows.correlation(m.returns, m.volume_change, 20)


def _of_day(m: Market, wave: Callable[[Series], Series]) -> Series:
    return wave(2.0 * np.pi * (m.at % _DAY_MS) / _DAY_MS)


def _of_week(m: Market, wave: Callable[[Series], Series]) -> Series:
    return wave(2.0 * np.pi * (m.at // _DAY_MS % 7) / 7.0)


class _Sized(Protocol):
    def __call__(self, m: Market, k: int) -> Series: ...


def _over(name: str, definition: str, series: _Sized, *sizes: int) -> tuple[Feature, ...]:
    """The same feature over windows of several sizes."""
    return tuple(
        Feature(
            name=f"{name}_{k}",
            definition=definition.replace("k", str(k)),
            series=partial(series, k=k),
        )
        for k in sizes
    )


def _one(name: str, definition: str, series: Callable[[Market], Series]) -> Feature:
    return Feature(name=name, definition=definition, series=series)


FEATURES: Final[tuple[Feature, ...]] = (
    # Returns
    *_over("return", "ln(C / C[k])", _return, 1, 2, 3, 5, 10, 20, 60),
    *_over("lagged_return", "r[k]", _lagged_return, 1, 2, 3),
    # Volatility
    *_over("volatility", "sd(r) over k rows", _volatility, 5, 20, 60),
    _one("volatility_ratio", "volatility_5 / volatility_60 (1)", _volatility_ratio),
    _one("parkinson_20", "sqrt(mean(ln(H/L)^2) / (4 ln 2))", _parkinson),
    _one(
        "garman_klass_20",
        "sqrt(max(mean(ln(H/L)^2 / 2 - (2 ln 2 - 1) ln(C/O)^2), 0))",
        _garman_klass,
    ),
    *_over("natr", "mean(true range) / C over k rows", _natr, 7, 14),
    # Momentum
    *_over("rsi", "sum(rises of C) / sum(moves of C) over k rows (0.5)", _rsi, 7, 14),
    _one("macd", "EMA12(ln C) - EMA26(ln C)", lambda m: m.macd),
    _one("macd_histogram", "macd - EMA9(macd)", _macd_histogram),
    _one("trix_9", "change of EMA9(EMA9(EMA9(ln C)))", _trix),
    _one("stochastic_14", "(C - min L) / (max H - min L) (0.5)", _stochastic),
    _one("stochastic_signal", "mean(stochastic_14) over 3 rows", _stochastic_signal),
    _one("cci_20", "(TP - mean TP) / (0.015 mean|TP - mean TP|)", _cci),
    _one(
        "ultimate",
        "(4 q7 + 2 q14 + q28) / 7; qk = sum(C - true low) / sum(true range) (0.5)",
        _ultimate,
    ),
    # Trend
    *_over("close_to_ema", "ln C - EMAk(ln C)", _close_to_ema, 5, 10, 20, 50),
    _one("slope_20", "least-squares slope of ln C, per row", _slope),
    _one("efficiency_20", "ln(C / C[20]) / sum|r|", _efficiency),
    _one("aroon_25", "(rows since min L - rows since max H) / 25 over 26 rows", _aroon),
    _one("plus_di_14", "sum(rises of H that exceed falls of L) / sum(true range)", _plus_di),
    _one("minus_di_14", "sum(falls of L that exceed rises of H) / sum(true range)", _minus_di),
    _one("adx_14", "mean(|+DI - -DI| / (+DI + -DI))", _adx),
    # Range
    _one("bollinger_position_20", "(C - mean C) / (2 sd C)", _bollinger_position),
    _one("bollinger_width_20", "4 sd(C) / mean(C)", _bollinger_width),
    *_over("donchian", "(C - min L) / (max H - min L) over k rows (0.5)", _donchian, 20, 60, 100),
    _one("body", "(C - O) / (H - L)", _body),
    _one("upper_wick", "(H - max(O, C)) / (H - L)", _upper_wick),
    _one("lower_wick", "(min(O, C) - L) / (H - L)", _lower_wick),
    _one("range", "ln(H / L)", _range),
    _one("gap", "ln(O / C[1])", _gap),
    # Volume
    *_over("volume_level", "V / (V + mean V) over k rows (0.5)", _volume_level, 20, 60),
    _one("volume_change", "(V - V[1]) / (V + V[1])", _volume_change),
    _one("volume_trend", "mean5 V / (mean5 V + mean60 V) (0.5)", _volume_trend),
    _one("on_balance_20", "sum(sign(C - C[1]) V) / sum(V)", _on_balance),
    _one("chaikin_20", "sum(((C - L) - (H - C)) / (H - L) V) / sum(V)", _chaikin),
    _one("money_flow_14", "sum(TP V where TP rose) / sum(TP V where TP moved) (0.5)", _money_flow),
    _one("vwap_distance_20", "ln(C / (sum(TP V) / sum(V)))", _vwap_distance),
    _one("return_volume_correlation_20", "corr(r, volume_change)", _return_volume_correlation),
    # Calendar, UTC
    _one("day_sin", "sin of the time of day", partial(_of_day, wave=np.sin)),
    _one("day_cos", "cos of the time of day", partial(_of_day, wave=np.cos)),
    _one("week_sin", "sin of the day of the week", partial(_of_week, wave=np.sin)),
    _one("week_cos", "cos of the day of the week", partial(_of_week, wave=np.cos)),
)

NAMES: Final = tuple(feature.name for feature in FEATURES)

#: Identifies the columns, their order and their meaning: a model reads only the rows it learnt on.
SPEC: Final = hashlib.sha256("\n".join((f"{_VERSION}", *NAMES)).encode()).hexdigest()
