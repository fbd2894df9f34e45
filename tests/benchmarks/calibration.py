"""What a calibration is worth: `python -m tests.benchmarks.calibration [--candles DIR]`.

Models are trained at several times, on daily candles, and judged on the two months that follow,
which none of their rows share a candle with. What is printed is the log loss there, in nats: of
saying one half; of the share of rises among the test rows before; and of the ensemble as it is, by
Platt's method on its own test rows, with the prior of a symbol that is alone, and with the prior
that the other symbols trained at the same time bear out. Behind it, how much that is more than the
last, and the standard error over the times. 240 models of each window take ten minutes of one core.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from services.trainer.domain.basic import Basic
from services.trainer.domain.blending import calibration, mixture, own_slope
from services.trainer.domain.boosters import boosters
from services.trainer.domain.folds import Fold, walk_forward
from services.trainer.domain.learners import Learner, effort_for
from services.trainer.domain.sample import Sample, sample
from services.trainer.domain.scores import log_loss
from services.trainer.domain.slopes import UNKNOWN, Slope, expected
from shared.contracts.terms import Horizon
from shared.model.candles import Candles
from shared.model.history import WARMUP
from shared.model.odds import logit, sigmoid
from tests.benchmarks.markets import daily
from tests.support.jobs import daily_job

_LATER: Final = 42
_HORIZONS: Final = (1, 3, 7, 14, 30)
_ROUNDS: Final = 200
_ALONE: Final = Slope(mean=1.0, spread=10.0)

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Rows to learn from, and of each test block."""

    name: str
    rows: int
    test_rows: int


WINDOWS: Final = (
    Window(name="short, as in quick mode", rows=250, test_rows=10),
    Window(name="two years", rows=502, test_rows=21),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """Of one symbol and horizon: log-odds and rises of the test rows, and of those that follow."""

    margins: Vector
    risen: npt.NDArray[np.bool_]
    later: Vector
    later_risen: npt.NDArray[np.bool_]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.calibration")
    parser.add_argument("--candles", type=Path, help="a folder of candle files; else the bundled")
    parser.add_argument("--times", type=int, default=8)
    parser.add_argument("--symbols", type=int, default=30, help="at each time")
    options = parser.parse_args(arguments)
    for window in WINDOWS:
        _say(f"\n{window.name}: {window.rows} rows, test blocks of {window.test_rows}\n")
        needed = window.rows + WARMUP + 2 * _HORIZONS[-1] + _LATER
        series = daily(options.candles).long_enough(1258)
        longest = min(map(len, series))
        ends = np.linspace(needed, longest, options.times).astype(int)
        rounds = [
            [
                _trained(series[(number * options.symbols + each) % len(series)][:end], window)
                for each in range(min(options.symbols, len(series)))
            ]
            for number, end in enumerate(ends)
        ]
        for place, horizon in enumerate(_HORIZONS):
            _report(horizon, [[each[place] for each in symbols] for symbols in rounds])


def _trained(candles: Candles, window: Window) -> tuple[Trained, ...]:
    known, later = _split(candles, window)
    effort = effort_for(len(known.features), rounds=_ROUNDS)
    features, labels = known.features, known.labels
    libraries = boosters(features, labels, effort, edges=known.folds[0].train)
    learners: tuple[Learner, ...] = (*libraries, Basic(features, labels))
    said = np.concatenate([_foretold(known, fold, learners) for fold in known.folds])
    next_said = _foretold(known, later, learners)
    first, last = known.folds[0].test.start, known.folds[-1].test.stop
    truth = known.labels[first:last] > 0.5
    next_truth = known.labels[later.test.start : later.test.stop] > 0.5
    weights = [mixture(said[:, p], truth[:, p], h) for p, h in enumerate(known.horizons)]
    return tuple(
        Trained(
            margins=logit(said[:, place] @ weights[place]),
            risen=truth[:, place],
            later=logit(next_said[:, place] @ weights[place]),
            later_risen=next_truth[:, place],
        )
        for place in range(len(known.horizons))
    )


def _split(candles: Candles, window: Window) -> tuple[Sample, Fold]:
    """The folds of a training, and one more that learns from all that was known after them."""
    purge = _HORIZONS[-1]
    job = daily_job(horizons=_HORIZONS, days_back=100_000, min_days=1)
    rows = window.rows + WARMUP + 2 * purge + _LATER
    known = sample(job, candles[-rows:])
    begun = len(known.features) - _LATER
    folds = walk_forward(begun - purge, test_rows=window.test_rows, purge=purge)
    valid = len(folds[-1].valid)
    later = Fold(
        train=range(begun - 2 * purge - valid),
        valid=range(begun - purge - valid, begun - purge),
        test=range(begun, begun + _LATER),
    )
    return replace(known, folds=folds), later


def _foretold(known: Sample, fold: Fold, learners: tuple[Learner, ...]) -> Vector:
    """[test rows, horizons, learners]."""
    test = known.features[fold.test.start : fold.test.stop]
    said = np.empty((len(fold.test), len(known.horizons), len(learners)))
    for column, learner in enumerate(learners):
        study = learner.study(fold.train, fold.valid)
        for row in range(len(known.horizons)):
            said[:, row, column] = study.fit(row, rounds=_ROUNDS).probabilities(test)
    return said


def _report(horizon: Horizon, times: list[list[Trained]]) -> None:
    """One line per way: the mean over times, and the difference to the last way."""
    losses: dict[str, list[float]] = {}
    for symbols in times:
        for name, way in _ways(symbols, horizon):
            losses.setdefault(name, []).append(float(np.mean(way)))
    ours = np.array(losses["pooled prior"])
    for name, found in losses.items():
        more = np.array(found) - ours
        error = more.std(ddof=1) / np.sqrt(len(more))
        difference = f"{more.mean():+.4f} +- {error:.4f}"
        _say(f"{horizon:3} ahead  {name:20} {np.mean(found):.4f}  {difference}\n")


def _ways(symbols: list[Trained], horizon: Horizon) -> Iterator[tuple[str, list[float]]]:
    """What each way loses on the later rows of every symbol."""
    found = [own_slope(each.margins, each.risen, horizon) for each in symbols]
    yield "one half", [_lost(each, np.full(_LATER, 0.5)) for each in symbols]
    yield (
        "share of rises",
        [_lost(each, np.full(_LATER, _share(each, horizon))) for each in symbols],
    )
    yield "as it is", [_lost(each, sigmoid(each.later)) for each in symbols]
    yield "own Platt", [_calibrated(each, horizon, _ALONE) for each in symbols]
    yield "prior of one alone", [_calibrated(each, horizon, UNKNOWN) for each in symbols]
    yield (
        "pooled prior",
        [
            _calibrated(each, horizon, expected([s for s in found if s and s is not own]))
            for each, own in zip(symbols, found, strict=True)
        ],
    )


def _share(each: Trained, horizon: Horizon) -> float:
    """Laplace's, of as many rows as do not share candles."""
    alone = len(each.risen) / horizon
    return float((each.risen.sum() / horizon + 1.0) / (alone + 2.0))


def _calibrated(each: Trained, horizon: Horizon, prior: Slope) -> float:
    slope, intercept = calibration(each.margins, each.risen, horizon, prior)
    return _lost(each, sigmoid(slope * each.later + intercept))


def _lost(each: Trained, p_up: Vector) -> float:
    return log_loss(each.later_risen.astype(np.float64), p_up)


def _say(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1:])
