"""One model per pair and target, as FreqAI's example publishes it: the yardstick of models made.

The example of freqtrade's FreqAI (`FreqaiExampleStrategy` and `config_freqai.example.json`) has 21
features of a pair and timeframe, and expands them over three timeframes, the pair and two others,
and the two candles before: with the hour and the day 569. Written anew with pandas; what the
example asks of its indicator library is vectorised here too. Features are scaled, and one booster
with the library's own defaults and 100 rounds learns each target; one thread, as in the jobs that
it is compared with. There is no validation by time, no early stopping and no calibration in it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import lightgbm
import numpy as np
import numpy.typing as npt
import pandas as pd
import xgboost

Series = Any

#: float32 [rows, features].
Rows = npt.NDArray[np.float32]

TIMEFRAMES: Final = ("15min", "1h", "4h")
_PERIODS: Final = (10, 20)
_SHIFTS: Final = (0, 1, 2)
_ROUNDS: Final = 100

#: The first candles, where the longest window of the longest timeframe is not full.
WARMUP: Final = 700


def features(pair: pd.DataFrame, others: Sequence[pd.DataFrame]) -> Rows:
    """All features of the candles of `pair` behind the warm-up, in three timeframes, with those of
    the `others` at the same times.
    """
    expanded = [
        _merged(_of_timeframe(candles, timeframe), pair.index, timeframe).add_suffix(f"_{number}")
        for timeframe in TIMEFRAMES
        for number, candles in enumerate((pair, *others))
    ]
    every = pd.concat(expanded, axis=1)
    shifted = [every.shift(shift).add_suffix(f"_shift{shift}") for shift in _SHIFTS]
    index = pd.DatetimeIndex(pair.index)
    calendar = pd.DataFrame({"day": index.day_of_week, "hour": index.hour}, index=pair.index)
    return pd.concat([*shifted, calendar], axis=1).to_numpy(np.float32)[WARMUP:]


def train(rows: Rows, close: npt.NDArray[np.float64], horizons: Sequence[int]) -> None:
    """A model for each horizon by xgboost, and one by lightgbm."""
    low, high = np.nanmin(rows, axis=0), np.nanmax(rows, axis=0)
    varied = high > low
    scaled = 2.0 * (rows[:, varied] - low[varied]) / (high[varied] - low[varied]) - 1.0
    for horizon in horizons:
        labels = (close[horizon:] > close[:-horizon]).astype(np.float32)
        _xgboost(scaled[:-horizon], labels)
        _lightgbm(scaled[:-horizon], labels)


def _xgboost(rows: Rows, labels: npt.NDArray[np.float32]) -> None:
    parameters = {"objective": "binary:logistic", "nthread": 1, "verbosity": 0}
    xgboost.train(parameters, xgboost.DMatrix(rows, labels, nthread=1), _ROUNDS)


def _lightgbm(rows: Rows, labels: npt.NDArray[np.float32]) -> None:
    parameters = {"objective": "binary", "num_threads": 1, "verbosity": -1}
    lightgbm.train(parameters, lightgbm.Dataset(rows, labels), _ROUNDS)


def _of_timeframe(candles: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    """The features of one pair, a row for each candle of the timeframe."""
    if timeframe != TIMEFRAMES[0]:
        how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
        candles = candles.resample(timeframe).agg(how).ffill()
    columns: dict[str, Series] = {
        "pct_change": candles.close.pct_change(),
        "raw_volume": candles.volume,
        "raw_price": candles.close,
    }
    for period in _PERIODS:
        made = {name: make(candles, period) for name, make in _INDICATORS.items()}
        columns |= {f"{name}_{period}": column for name, column in made.items()}
    return pd.DataFrame(columns)


def _merged(table: pd.DataFrame, index: pd.Index, timeframe: str) -> pd.DataFrame:
    """Each row where its candle is known, and at all times until the next one is."""
    late = pd.Timedelta(timeframe) - pd.Timedelta(TIMEFRAMES[0])
    known = table.set_axis(pd.DatetimeIndex(table.index) + late)
    return known.reindex(index, method="ffill")


def _rsi(m: pd.DataFrame, period: int) -> Series:
    moves = m.close.diff()
    return 100 * _wilder(moves.clip(lower=0), period) / _wilder(moves.abs(), period)


def _mfi(m: pd.DataFrame, period: int) -> Series:
    typical = (m.high + m.low + m.close) / 3
    money = typical * m.volume
    rising = money.where(typical.diff() > 0, 0.0)
    return 100 * rising.rolling(period).sum() / money.rolling(period).sum()


def _adx(m: pd.DataFrame, period: int) -> Series:
    up, down, before = m.high.diff(), -m.low.diff(), m.close.shift()
    moved = _wilder(np.maximum(m.high, before) - np.minimum(m.low, before), period)
    plus = _wilder(up.where((up > down) & (up > 0), 0.0), period) / moved
    minus = _wilder(down.where((down > up) & (down > 0), 0.0), period) / moved
    return 100 * _wilder((plus - minus).abs() / (plus + minus), period)


def _sma(m: pd.DataFrame, period: int) -> Series:
    return m.close.rolling(period).mean()


def _ema(m: pd.DataFrame, period: int) -> Series:
    return m.close.ewm(span=period, adjust=False).mean()


def _bollinger_low(m: pd.DataFrame, period: int) -> Series:
    typical = (m.high + m.low + m.close) / 3
    return typical.rolling(period).mean() - 2.2 * typical.rolling(period).std()


def _bollinger_width(m: pd.DataFrame, period: int) -> Series:
    typical = (m.high + m.low + m.close) / 3
    return 4.4 * typical.rolling(period).std() / typical.rolling(period).mean()


def _close_to_bollinger(m: pd.DataFrame, period: int) -> Series:
    return m.close / _bollinger_low(m, period)


def _change(m: pd.DataFrame, period: int) -> Series:
    return 100 * m.close.pct_change(period)


def _relative_volume(m: pd.DataFrame, period: int) -> Series:
    return m.volume / m.volume.rolling(period).mean()


def _wilder(series: Series, period: int) -> Series:
    return series.ewm(alpha=1 / period, adjust=False).mean()


_INDICATORS: Final[dict[str, Callable[[pd.DataFrame, int], Series]]] = {
    "rsi": _rsi,
    "mfi": _mfi,
    "adx": _adx,
    "sma": _sma,
    "ema": _ema,
    "bb_width": _bollinger_width,
    "close_to_bb_low": _close_to_bollinger,
    "roc": _change,
    "relative_volume": _relative_volume,
}
