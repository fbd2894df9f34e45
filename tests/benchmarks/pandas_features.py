"""The same features as people write them with pandas: the yardstick.

Windows are `rolling`, averages `ewm`, and the three for which pandas has no window function of its
own are `rolling.apply` over raw arrays, as the indicator libraries on top of it do.
"""

from functools import reduce
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from shared.model.candles import Candles

#: A pandas series; the stubs lose it in numpy's functions.
Series = Any

#: Those that pandas computes window by window, in Python.
BY_WINDOW: Final = ("cci_20", "aroon_25", "slope_20")


def frame(candles: Candles) -> pd.DataFrame:
    columns = {name: candles[name] for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame(columns, index=pd.to_datetime(candles["at"], unit="ms"))


def vectorised(market: pd.DataFrame) -> pd.DataFrame:
    """All but `BY_WINDOW`, one column each; the first rows have NaN."""
    parts = [_returns, _volatility, _momentum, _trend, _range, _volume, _calendar]
    columns: dict[str, Series] = reduce(lambda all_, part: all_ | part(market), parts, {})
    return pd.DataFrame(columns)


def by_window(market: pd.DataFrame) -> pd.DataFrame:
    """`BY_WINDOW`."""
    typical = _typical(market)
    centre = typical.rolling(20).mean()
    spread = typical.rolling(20).apply(lambda x: np.abs(x - x.mean()).mean(), raw=True)
    since_high = market.high.rolling(26).apply(lambda x: np.argmax(x[::-1]), raw=True)
    since_low = market.low.rolling(26).apply(lambda x: np.argmin(x[::-1]), raw=True)
    weights = np.arange(20) - 9.5
    weights = weights / (weights**2).sum()
    return pd.DataFrame(
        {
            "cci_20": ((typical - centre) / (0.015 * spread)).fillna(0.0),
            "aroon_25": (since_low - since_high) / 25.0,
            "slope_20": np.log(market.close).rolling(20).apply(lambda x: x @ weights, raw=True),
        }
    )


def matrix(candles: Candles) -> npt.NDArray[np.float32]:
    """Every feature for every row: float32 [rows, features], NaN where there is no whole window."""
    market = frame(candles)
    return pd.concat([vectorised(market), by_window(market)], axis=1).to_numpy(np.float32)


def _returns(m: pd.DataFrame) -> dict[str, Series]:
    log, r = np.log(m.close), np.log(m.close).diff()
    columns = {f"return_{k}": log.diff(k) for k in (1, 2, 3, 5, 10, 20, 60)}
    return columns | {f"lagged_return_{k}": r.shift(k) for k in (1, 2, 3)}


def _volatility(m: pd.DataFrame) -> dict[str, Series]:
    r: Series = np.log(m.close).diff()
    span: Series = np.log(m.high / m.low)
    body: Series = np.log(m.close / m.open)
    columns = {f"volatility_{k}": r.rolling(k).std(ddof=0) for k in (5, 20, 60)}
    columns["volatility_ratio"] = _over(columns["volatility_5"], columns["volatility_60"], 1.0)
    columns["parkinson_20"] = np.sqrt((span**2).rolling(20).mean() / (4 * np.log(2)))
    variance = (span**2 / 2 - (2 * np.log(2) - 1) * body**2).rolling(20).mean()
    columns["garman_klass_20"] = np.sqrt(variance.clip(lower=0))
    return columns | {f"natr_{k}": _true_range(m).rolling(k).mean() / m.close for k in (7, 14)}


def _momentum(m: pd.DataFrame) -> dict[str, Series]:
    log, moves = np.log(m.close), m.close.diff()
    rises = moves.clip(lower=0)
    columns = {
        f"rsi_{k}": _over(rises.rolling(k).sum(), moves.abs().rolling(k).sum(), 0.5)
        for k in (7, 14)
    }
    columns["macd"] = _ema(log, 12) - _ema(log, 26)
    columns["macd_histogram"] = columns["macd"] - _ema(columns["macd"], 9)
    columns["trix_9"] = _ema(_ema(_ema(log, 9), 9), 9).diff()
    columns["stochastic_14"] = _channel(m, 14)
    columns["stochastic_signal"] = columns["stochastic_14"].rolling(3).mean()
    columns["ultimate"] = _ultimate(m)
    return columns


def _ultimate(m: pd.DataFrame) -> Series:
    pressure, moved = m.close - _true_low(m), _true_range(m)
    q = {k: _over(pressure.rolling(k).sum(), moved.rolling(k).sum(), 0.5) for k in (7, 14, 28)}
    return (4 * q[7] + 2 * q[14] + q[28]) / 7


def _trend(m: pd.DataFrame) -> dict[str, Series]:
    log = np.log(m.close)
    columns = {f"close_to_ema_{k}": log - _ema(log, k) for k in (5, 10, 20, 50)}
    columns["efficiency_20"] = _over(log.diff(20), log.diff().abs().rolling(20).sum(), 0.0)
    up, down = m.high.diff(), -m.low.diff()
    moved = _true_range(m).rolling(14).sum()
    plus = _over(up.where((up > down) & (up > 0), 0.0).rolling(14).sum(), moved, 0.0)
    minus = _over(down.where((down > up) & (down > 0), 0.0).rolling(14).sum(), moved, 0.0)
    columns["plus_di_14"], columns["minus_di_14"] = plus, minus
    columns["adx_14"] = _over((plus - minus).abs(), plus + minus, 0.0).rolling(14).mean()
    return columns


def _range(m: pd.DataFrame) -> dict[str, Series]:
    span, centre = m.high - m.low, m.close.rolling(20).mean()
    deviation = m.close.rolling(20).std(ddof=0)
    upper, lower = np.maximum(m.open, m.close), np.minimum(m.open, m.close)
    columns = {f"donchian_{k}": _channel(m, k) for k in (20, 60, 100)}
    columns["bollinger_position_20"] = _over(m.close - centre, 2 * deviation, 0.0)
    columns["bollinger_width_20"] = 4 * deviation / centre
    columns["body"] = _over(m.close - m.open, span, 0.0)
    columns["upper_wick"] = _over(m.high - upper, span, 0.0)
    columns["lower_wick"] = _over(lower - m.low, span, 0.0)
    columns["range"] = np.log(m.high / m.low)
    columns["gap"] = np.log(m.open / m.close.shift())
    return columns


def _volume(m: pd.DataFrame) -> dict[str, Series]:
    v, typical = m.volume, _typical(m)
    before, over_20 = v.shift(), v.rolling(20).sum()
    columns = {f"volume_level_{k}": _over(v, v + v.rolling(k).mean(), 0.5) for k in (20, 60)}
    columns["volume_change"] = _over(v - before, v + before, 0.0)
    short, long = v.rolling(5).mean(), v.rolling(60).mean()
    columns["volume_trend"] = _over(short, short + long, 0.5)
    columns["on_balance_20"] = _over((np.sign(m.close.diff()) * v).rolling(20).sum(), over_20, 0.0)
    place = _over(2 * m.close - m.low - m.high, m.high - m.low, 0.0)
    columns["chaikin_20"] = _over((place * v).rolling(20).sum(), over_20, 0.0)
    moves, money = typical.diff(), typical * v
    rising, moving = money.where(moves > 0, 0.0), money.where(moves != 0, 0.0)
    columns["money_flow_14"] = _over(rising.rolling(14).sum(), moving.rolling(14).sum(), 0.5)
    columns["vwap_distance_20"] = np.log(m.close / _over(money.rolling(20).sum(), over_20, 1.0))
    r = np.log(m.close).diff()
    columns["return_volume_correlation_20"] = r.rolling(20).corr(columns["volume_change"])
    return columns


def _calendar(m: pd.DataFrame) -> dict[str, Series]:
    index = pd.DatetimeIndex(m.index)
    day = 2 * np.pi * (index.hour * 60 + index.minute) / 1440
    week = 2 * np.pi * ((index.day_of_week + 4) % 7) / 7  # the epoch was a Thursday
    waves = {"day_sin": np.sin(day), "day_cos": np.cos(day)}
    waves |= {"week_sin": np.sin(week), "week_cos": np.cos(week)}
    return {name: pd.Series(wave, index=index) for name, wave in waves.items()}


def _typical(m: pd.DataFrame) -> Series:
    return (m.high + m.low + m.close) / 3


def _true_low(m: pd.DataFrame) -> Series:
    return np.minimum(m.low, m.close.shift())


def _true_range(m: pd.DataFrame) -> Series:
    return np.maximum(m.high, m.close.shift()) - _true_low(m)


def _channel(m: pd.DataFrame, k: int) -> Series:
    low = m.low.rolling(k).min()
    return _over(m.close - low, m.high.rolling(k).max() - low, 0.5)


def _ema(series: Series, span: int) -> Series:
    return series.ewm(span=span, adjust=False).mean()


def _over(above: Series, below: Series, undefined: float) -> Series:
    return (above / below).where(below != 0, undefined)
