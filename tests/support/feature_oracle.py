"""Every feature once more, slowly: plain loops over plain lists, written from the definitions.

It shares nothing with `shared.model.features`, so that a mistake must be made twice to stay hidden.
"""

import math
from collections.abc import Sequence
from statistics import fmean, pstdev

from shared.model.candles import Candles

Numbers = list[float]


class Oracle:
    """One row of one market: `t` is the row asked about."""

    def __init__(self, candles: Candles, t: int) -> None:
        self.t = t
        self.at = [int(x) for x in candles["at"]]
        self.o, self.h, self.l, self.c, self.v = (
            [float(x) for x in candles[name]] for name in ("open", "high", "low", "close", "volume")
        )
        self.tp = [(h + low + c) / 3 for h, low, c in zip(self.h, self.l, self.c, strict=True)]

    def __call__(self, name: str) -> float:
        head, _, size = name.rpartition("_")
        if size.isdigit():
            return float(getattr(self, head if head != "return" else "return_")(int(size)))
        return float(getattr(self, name)())

    def newest(self, series: Sequence[float], size: int) -> Numbers:
        return list(series[self.t - size + 1 : self.t + 1])

    def r(self, t: int) -> float:
        return math.log(self.c[t] / self.c[t - 1])

    def rows(self, size: int) -> range:
        return range(self.t - size + 1, self.t + 1)

    def ema(self, span: int, series: Numbers) -> float:
        """Of the last entries of `series`; weights cut at 1.5 spans."""
        weights = [(1 - 2 / (span + 1)) ** age for age in range(3 * span // 2)]
        values = series[::-1][: len(weights)]
        assert len(values) == len(weights)
        return sum(w * x for w, x in zip(weights, values, strict=True)) / sum(weights)

    def log_closes(self, upto: int) -> Numbers:
        return [math.log(c) for c in self.c[: upto + 1]]

    def return_(self, k: int) -> float:
        return math.log(self.c[self.t] / self.c[self.t - k])

    def lagged_return(self, k: int) -> float:
        return self.r(self.t - k)

    def volatility(self, k: int) -> float:
        return pstdev([self.r(t) for t in self.rows(k)])

    def volatility_ratio(self) -> float:
        return self.volatility(5) / self.volatility(60) if self.volatility(60) else 1.0

    def parkinson(self, k: int) -> float:
        squares = [math.log(self.h[t] / self.l[t]) ** 2 for t in self.rows(k)]
        return math.sqrt(fmean(squares) / (4 * math.log(2)))

    def garman_klass(self, k: int) -> float:
        terms = []
        for t in self.rows(k):
            wide, body = math.log(self.h[t] / self.l[t]), math.log(self.c[t] / self.o[t])
            terms.append(wide**2 / 2 - (2 * math.log(2) - 1) * body**2)
        return math.sqrt(max(fmean(terms), 0.0))

    def true_low(self, t: int) -> float:
        return min(self.l[t], self.c[t - 1])

    def true_range(self, t: int) -> float:
        return max(self.h[t], self.c[t - 1]) - self.true_low(t)

    def natr(self, k: int) -> float:
        return fmean([self.true_range(t) for t in self.rows(k)]) / self.c[self.t]

    def rsi(self, k: int) -> float:
        moves = [self.c[t] - self.c[t - 1] for t in self.rows(k)]
        rises, all_moves = sum(m for m in moves if m > 0), sum(abs(m) for m in moves)
        return rises / all_moves if all_moves else 0.5

    def macd_at(self, t: int) -> float:
        logs = self.log_closes(t)
        return self.ema(12, logs) - self.ema(26, logs)

    def macd(self) -> float:
        return self.macd_at(self.t)

    def macd_histogram(self) -> float:
        return self.macd() - self.ema(9, [self.macd_at(t) for t in self.rows(13)])

    def trix(self, k: int) -> float:
        def thrice(upto: int) -> float:
            logs = self.log_closes(upto)
            once = [self.ema(k, logs[: t + 1]) for t in range(upto - 26, upto + 1)]
            twice = [self.ema(k, once[: i + 1]) for i in range(len(once) - 13, len(once))]
            return self.ema(k, twice)

        return thrice(self.t) - thrice(self.t - 1)

    def place_in_range(self, k: int, t: int) -> float:
        low = min(self.l[t - k + 1 : t + 1])
        high = max(self.h[t - k + 1 : t + 1])
        return (self.c[t] - low) / (high - low) if high > low else 0.5

    def stochastic(self, k: int) -> float:
        return self.place_in_range(k, self.t)

    def stochastic_signal(self) -> float:
        return fmean([self.place_in_range(14, t) for t in self.rows(3)])

    def donchian(self, k: int) -> float:
        return self.place_in_range(k, self.t)

    def cci(self, k: int) -> float:
        window = self.newest(self.tp, k)
        centre = fmean(window)
        spread = fmean([abs(x - centre) for x in window])
        return (self.tp[self.t] - centre) / (0.015 * spread) if spread > 1e-7 * centre else 0.0

    def ultimate(self) -> float:
        def pressure(k: int) -> float:
            bought = sum(self.c[t] - self.true_low(t) for t in self.rows(k))
            moved = sum(self.true_range(t) for t in self.rows(k))
            return bought / moved if moved else 0.5

        return (4 * pressure(7) + 2 * pressure(14) + pressure(28)) / 7

    def close_to_ema(self, k: int) -> float:
        logs = self.log_closes(self.t)
        return logs[-1] - self.ema(k, logs)

    def slope(self, k: int) -> float:
        """Covariance with time over the variance of time."""
        logs = [math.log(c) for c in self.newest(self.c, k)]
        times = list(range(k))
        covariance = sum((x - fmean(times)) * (y - fmean(logs)) for x, y in enumerate(logs))
        return covariance / sum((x - fmean(times)) ** 2 for x in times)

    def efficiency(self, k: int) -> float:
        path = sum(abs(self.r(t)) for t in self.rows(k))
        return self.return_(k) / path if path else 0.0

    def aroon(self, k: int) -> float:
        highs, lows = self.newest(self.h, k + 1)[::-1], self.newest(self.l, k + 1)[::-1]
        return (lows.index(min(lows)) - highs.index(max(highs))) / k

    def di(self, k: int, t: int, *, plus: bool) -> float:
        moved, total = 0.0, 0.0
        for i in range(t - k + 1, t + 1):
            up, down = self.h[i] - self.h[i - 1], self.l[i - 1] - self.l[i]
            one, other = (up, down) if plus else (down, up)
            moved += one if one > other and one > 0 else 0.0
            total += self.true_range(i)
        return moved / total if total else 0.0

    def plus_di(self, k: int) -> float:
        return self.di(k, self.t, plus=True)

    def minus_di(self, k: int) -> float:
        return self.di(k, self.t, plus=False)

    def adx(self, k: int) -> float:
        def dx(t: int) -> float:
            plus, minus = self.di(k, t, plus=True), self.di(k, t, plus=False)
            return abs(plus - minus) / (plus + minus) if plus + minus else 0.0

        return fmean([dx(t) for t in self.rows(k)])

    def bollinger_position(self, k: int) -> float:
        window = self.newest(self.c, k)
        spread = pstdev(window)
        return (self.c[self.t] - fmean(window)) / (2 * spread) if spread > 1e-9 else 0.0

    def bollinger_width(self, k: int) -> float:
        window = self.newest(self.c, k)
        return 4 * pstdev(window) / fmean(window)

    def of_range(self, amount: float) -> float:
        span = self.h[self.t] - self.l[self.t]
        return amount / span if span else 0.0

    def body(self) -> float:
        return self.of_range(self.c[self.t] - self.o[self.t])

    def upper_wick(self) -> float:
        return self.of_range(self.h[self.t] - max(self.o[self.t], self.c[self.t]))

    def lower_wick(self) -> float:
        return self.of_range(min(self.o[self.t], self.c[self.t]) - self.l[self.t])

    def range(self) -> float:
        return math.log(self.h[self.t] / self.l[self.t])

    def gap(self) -> float:
        return math.log(self.o[self.t] / self.c[self.t - 1])

    def volume_level(self, k: int) -> float:
        both = self.v[self.t] + fmean(self.newest(self.v, k))
        return self.v[self.t] / both if both else 0.5

    def volume_change_at(self, t: int) -> float:
        both = self.v[t] + self.v[t - 1]
        return (self.v[t] - self.v[t - 1]) / both if both else 0.0

    def volume_change(self) -> float:
        return self.volume_change_at(self.t)

    def volume_trend(self) -> float:
        short, long = fmean(self.newest(self.v, 5)), fmean(self.newest(self.v, 60))
        return short / (short + long) if short + long else 0.5

    def on_balance(self, k: int) -> float:
        signed = 0.0
        for t in self.rows(k):
            move = self.c[t] - self.c[t - 1]
            signed += self.v[t] * ((move > 0) - (move < 0))
        traded = sum(self.newest(self.v, k))
        return signed / traded if traded else 0.0

    def chaikin(self, k: int) -> float:
        flow = 0.0
        for t in self.rows(k):
            span = self.h[t] - self.l[t]
            place = ((self.c[t] - self.l[t]) - (self.h[t] - self.c[t])) / span if span else 0.0
            flow += place * self.v[t]
        traded = sum(self.newest(self.v, k))
        return flow / traded if traded else 0.0

    def money_flow(self, k: int) -> float:
        rising = moving = 0.0
        for t in self.rows(k):
            money = self.tp[t] * self.v[t]
            rising += money if self.tp[t] > self.tp[t - 1] else 0.0
            moving += money if self.tp[t] != self.tp[t - 1] else 0.0
        return rising / moving if moving else 0.5

    def vwap_distance(self, k: int) -> float:
        traded = sum(self.newest(self.v, k))
        if not traded:
            return 0.0
        paid = sum(self.tp[t] * self.v[t] for t in self.rows(k)) / traded
        return math.log(self.c[self.t] / paid)

    def return_volume_correlation(self, k: int) -> float:
        returns = [self.r(t) for t in self.rows(k)]
        volumes = [self.volume_change_at(t) for t in self.rows(k)]
        spread = pstdev(returns) * pstdev(volumes)
        if spread <= 1e-18:
            return 0.0
        pairs = zip(returns, volumes, strict=True)
        return fmean([(x - fmean(returns)) * (y - fmean(volumes)) for x, y in pairs]) / spread

    def angle_of_day(self) -> float:
        return 2 * math.pi * (self.at[self.t] / 86_400_000 % 1)

    def angle_of_week(self) -> float:
        """Midnights only: it moves from day to day. 1970 began on a Thursday, day 0."""
        return 2 * math.pi * (self.at[self.t] // 86_400_000 % 7) / 7

    def day_sin(self) -> float:
        return math.sin(self.angle_of_day())

    def day_cos(self) -> float:
        return math.cos(self.angle_of_day())

    def week_sin(self) -> float:
        return math.sin(self.angle_of_week())

    def week_cos(self) -> float:
        return math.cos(self.angle_of_week())
