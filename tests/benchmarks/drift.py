"""How often drift is seen where there is none, and where there is, and what a look costs."""

import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from services.scheduler.domain.drift import FALSE_ALARMS, Evidence, discoveries, judged, outcome
from services.trainer.domain.drift import measure as measured
from services.trainer.domain.jobs import DriftJob, Inputs
from shared.contracts.quality import DriftFinding, DriftMeasurement, Scorecard
from shared.contracts.records import ModelRecord
from shared.contracts.symbols import Symbol
from shared.model.candles import Candles
from shared.model.history import WARMUP
from tests.benchmarks.markets import Market, daily
from tests.benchmarks.measure import Row, Section, seconds, value
from tests.benchmarks.plan import Plan
from tests.support.drifting import model, score, track
from tests.support.markets import clustered

_SYMBOL: Final = Symbol("S")
_SYMBOLS: Final = 545
_CHECKS: Final = 1000
_HORIZON: Final = 30
_HORIZONS: Final = (1, 7)

#: A candle's share of the next one's edge, and how far that strays, in standard deviations.
_PERSISTENCE: Final = 0.9
_EDGE: Final = 0.06
_VALIDATED: Final = 2000
_SERVED: Final = 500

Change = Callable[[Candles, int, np.random.Generator], None]
Series = npt.NDArray[np.float64]


def measure(plan: Plan) -> Section:
    looks = 20 * plan.walks
    sizes = {
        "60 days after 720": (720, 60, plan.daily_rows >= 720),
        "672 quarters after 17,280": (17_280, 672, plan.quarter_rows >= 17_000),
    }
    wanted = {name: size[:2] for name, size in sizes.items() if size[2]} or {"few": (650, 50)}
    return Section(
        title="Drift",
        notes=(
            f"False alarms: {_CHECKS} checks of {_SYMBOLS} symbols, drawn from {looks} without "
            "drift, whose volatility comes in clusters (60 days after 720) and whose forecasts are "
            f"as good as they were ({_SERVED} of them, for horizons of 1 and 7, after {_VALIDATED} "
            f"in validation). Stated are {FALSE_ALARMS:.0%} of checks.",
            "Found: of symbols whose market did change at the end of the training, the share "
            f"that is found if no other of {_SYMBOLS} has changed, and if all have. Ranges become "
            "three times as wide; returns follow each other by 0.4; the volume comes in waves; "
            "the edge of the forecasts turns round.",
            "CPU time of one look, in the child: 56 features, ranks, blocks.",
        ),
        rows=(
            Row(
                what="checks with a false alarm",
                ours=100.0 * _alarms(looks, _CHECKS),
                unit="%",
            ),
            *_real(daily(plan.candles)),
            *_power(wanted, max(plan.walks // 20, 1)),
            *_cost(wanted, plan),
        ),
    )


def _alarms(looks: int, checks: int) -> float:
    """The share of `checks` that find a symbol, each over 545 without drift, drawn from `looks`."""
    rng = np.random.default_rng(0)
    long = clustered(WARMUP + 720 + _HORIZON + 60 * looks, seed=1000)
    known = []
    for n in range(looks):
        candles = long[60 * n : 60 * n + WARMUP + 720 + _HORIZON + 60]
        record, card = _forecasts(rng, edge=1.0)
        known.append(Evidence(model=record, card=card, measurement=_look(candles, 720, 60)))
    every = judged({Symbol(f"S{n}"): one for n, one in enumerate(known)})
    p_values = np.array([_p_value(one) for one in every])
    names = [Symbol(f"S{n}") for n in range(min(_SYMBOLS, looks))]
    alarms = sum(
        bool(discoveries(dict(zip(names, drawn, strict=True)), FALSE_ALARMS))
        for drawn in rng.choice(p_values, (checks, len(names)))
    )
    return alarms / checks


def _p_value(finding: DriftFinding) -> float:
    assert finding.feature_p_value is not None
    assert finding.outcome_p_value is not None
    return min(1.0, 2.0 * min(finding.feature_p_value, finding.outcome_p_value))


def _look(candles: Candles, rows: int, recent: int, symbol: Symbol = _SYMBOL) -> DriftMeasurement:
    job = DriftJob(
        symbol=_SYMBOL,
        model_version="v1",
        rows=rows,
        candle_at_ms=int(candles["at"][-recent - 1]),
        longest_horizon=_HORIZON,
    )
    return measured(job, Inputs(candles=candles.tobytes()))


def _real(market: Market) -> Iterator[Row]:
    """Looks at one stretch of each real series after another, 60 days after 720."""
    rows = WARMUP + 720 + _HORIZON + 60
    p_values = [
        _look(candles[end - rows : end], 720, 60).p_value
        for candles in market.series.values()
        for end in range(rows, len(candles) + 1, 60)
    ]
    for level in (0.05, 0.001):
        share = sum(p <= level for p in p_values) / max(len(p_values), 1)
        what = f"of {len(p_values)} looks at {market.source}, p at most {level:g}"
        yield Row(what=what, ours=100.0 * share, unit="%")


def _power(sizes: dict[str, tuple[int, int]], tries: int) -> Iterator[Row]:
    for name, (rows, recent) in sizes.items():
        for said, change in _CHANGES.items():
            p_values = []
            for seed in range(tries):
                candles = clustered(WARMUP + rows + _HORIZON + recent, seed=5000 + seed)
                change(candles, len(candles) - recent, np.random.default_rng(seed))
                p_values.append(_look(candles, rows, recent).p_value)
            yield from _found(f"{said}, {name}", p_values)
    outcomes = []
    for seed in range(tries):
        record, card = _forecasts(np.random.default_rng(9000 + seed), edge=-1.0)
        seen = outcome(record, card)
        outcomes.append(seen.p_value if seen else 1.0)
    yield from _found(f"an edge that turned round, {_SERVED} forecasts", outcomes)


def _found(what: str, p_values: list[float]) -> Iterator[Row]:
    """A symbol is judged by twice the smaller of two p-values."""
    for others, rate in ((" alone", FALSE_ALARMS / _SYMBOLS), (" as in all symbols", FALSE_ALARMS)):
        share = sum(2.0 * p <= rate for p in p_values) / len(p_values)
        yield Row(what=f"found: {what},{others}", ours=100.0 * share, unit="%")


def _cost(sizes: dict[str, tuple[int, int]], plan: Plan) -> Iterator[Row]:
    for name, (rows, recent) in sizes.items():
        candles = clustered(WARMUP + rows + _HORIZON + recent)
        each = seconds(lambda: _look(candles, rows, recent), times=plan.turns)  # noqa: B023
        yield value(f"a look, {name}", each, "ms")
        yield value(f"{_SYMBOLS} of them", each * _SYMBOLS, "s")


def _wider(candles: Candles, since: int, rng: np.random.Generator) -> None:
    recent = candles[since:]
    reach = np.log(recent["high"] / recent["low"])
    recent["high"] *= np.exp(reach)
    recent["low"] *= np.exp(-reach)


def _following(candles: Candles, since: int, rng: np.random.Generator) -> None:
    """Each return takes 0.4 of the one before along."""
    gone, before = 0.0, 0.0
    moves = np.diff(np.log(candles["close"]))
    for row in range(since, len(candles)):
        now = 0.4 * before + moves[row - 1]
        candles["open"][row] *= math.exp(gone)
        gone, before = gone + 0.4 * before, now
        for name in ("high", "low", "close"):
            candles[name][row] *= math.exp(gone)
    prices = np.stack([candles[name] for name in ("open", "high", "low", "close")])
    candles["high"], candles["low"] = prices.max(axis=0), prices.min(axis=0)


def _in_waves(candles: Candles, since: int, rng: np.random.Generator) -> None:
    level = 0.0
    for row in range(since, len(candles)):
        level = 0.8 * level + 0.6 * rng.standard_normal()
        candles["volume"][row] = math.exp(10.0 + level)


_CHANGES: Final[dict[str, Change]] = {
    "wider ranges": _wider,
    "returns that follow each other": _following,
    "volume in waves": _in_waves,
}


def _forecasts(rng: np.random.Generator, *, edge: float) -> tuple[ModelRecord, Scorecard]:
    """A model with its validation, and the scorecard of what it foretold since: of the true
    probability before, and of that with its log-odds times `edge` then.
    """
    rows = _VALIDATED + _SERVED + max(_HORIZONS)
    drift = np.zeros(rows)
    shocks = _EDGE * math.sqrt(1.0 - _PERSISTENCE**2) * rng.standard_normal(rows)
    for row in range(1, rows):
        drift[row] = _PERSISTENCE * drift[row - 1] + shocks[row]
    price = np.concatenate([[0.0], np.cumsum(drift + rng.standard_normal(rows))])
    scores, tracks = [], []
    for horizon in _HORIZONS:
        p_up = _rise(drift, horizon)
        risen = price[horizon:] > price[:-horizon]
        before, since = slice(0, _VALIDATED), slice(_VALIDATED, _VALIDATED + _SERVED)
        promised = _losses(p_up[before], risen[before])
        odds = np.log(p_up[since] / (1.0 - p_up[since])) * edge
        served = _losses(1.0 / (1.0 + np.exp(-odds)), risen[since])
        scores.append(score(horizon, log_loss=float(promised.mean()), rows=_VALIDATED))
        tracks.append(
            track(
                horizon,
                log_loss=float(served.mean()),
                spread=float(served.std()),
                rows=_SERVED,
            )
        )
    return model(_SYMBOL, *scores), Scorecard(symbol=_SYMBOL, tracks=tuple(tracks))


def _rise(drift: Series, horizon: int) -> Series:
    """The probability of a rise over the horizon, where the drift reverts to nothing."""
    sums = (1.0 - _PERSISTENCE ** np.arange(1, horizon + 1)) / (1.0 - _PERSISTENCE)
    unknown = _EDGE**2 * (1.0 - _PERSISTENCE**2) * float((sums[:-1] ** 2).sum())
    places = drift * sums[-1] / math.sqrt(horizon + unknown)
    return np.array([0.5 * math.erfc(-place / math.sqrt(2.0)) for place in places])


def _losses(p_up: Series, risen: npt.NDArray[np.bool_]) -> Series:
    losses: Series = -np.log(np.where(risen, p_up, 1.0 - p_up))
    return losses
