"""Whether the scores are true, in markets whose truth is known."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from services.trainer.domain.jobs import FitJob
from services.trainer.domain.sample import Sample, sample
from services.trainer.domain.scores import independent_rows, interval, roc_auc
from services.trainer.domain.slopes import Slopes, borne_out, expected_beside
from services.trainer.domain.validation import Validation
from shared.contracts.terms import Horizon
from shared.model.candles import Candles
from shared.model.history import WARMUP
from tests.benchmarks.measure import Row, Section, at_least, at_most
from tests.benchmarks.plan import Plan
from tests.support.jobs import daily_job
from tests.support.judging import judged, mislabelled, validated
from tests.support.markets import planted_signal, random_walk

#: Standard deviations of a return that the volume foretells.
_STRENGTHS: Final = (0.3, 0.6)

#: The share of Bayes' edge that is to be reached.
_GOALS: Final[dict[Horizon, float]] = {1: 0.9, 3: 0.9, 7: 0.9, 14: 0.6}

#: Test blocks and their share of the window.
_FOLDS: Final = 4
_TESTED: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What was said of test rows of one symbol and horizon, and what became of them."""

    truth: npt.NDArray[np.float32]
    said: npt.NDArray[np.float64]


def measure(plan: Plan) -> Section:
    job = daily_job(
        days_back=plan.true_rows,
        min_days=1,
        test_days=int(plan.true_rows * _TESTED) // _FOLDS,
        rounds=plan.rounds,
    )
    walks = _columns(judged(job, _walk(job, seed)) for seed in range(plan.true_symbols))
    others = _columns(_labelled_by_another(job, seed) for seed in range(plan.true_symbols))
    return Section(
        title="Truth",
        notes=(
            f"{plan.true_symbols} symbols of {plan.true_rows} made-up candles each, trained and "
            "judged as any symbol is; the last four fifths of the rows are test rows. In random "
            "walks, and with the labels of another market, nothing can be foretold: the ROC AUC "
            "over all rows of all symbols is 0.5, and the interval that stands beside each "
            "symbol's holds 0.5. With so many rows the pooled one has a standard error of "
            f"{_largest_error(walks):.4f} or less on random walks. The share of one horizon's "
            "intervals has one of 3 to 4 % with 50 symbols, so the goal is for all of them.",
            "In the markets with a signal, the volume foretells so many standard deviations of the "
            f"next return. {plan.signal_symbols} symbols of {plan.signal_rows} candles, each "
            "trained when the ones before it and one more are known, as in a run; the yardstick is "
            "the signal itself, which no forecast can beat but by chance. Both columns are the "
            "pooled ROC AUC over 0.5.",
        ),
        rows=(
            *_nothing("random walks", walks),
            *_nothing("labels of another market", others),
            *(row for strength in _STRENGTHS for row in _signal(plan, strength)),
        ),
    )


def _walk(job: FitJob, seed: int) -> Candles:
    return random_walk(job.plan.days_back + WARMUP, seed=seed)


def _labelled_by_another(job: FitJob, seed: int) -> tuple[Sample, Validation]:
    own, another = (
        sample(job, _foretold(job.plan.days_back, _STRENGTHS[-1], each))
        for each in (seed, seed + 1_000_000)
    )
    known = mislabelled(own, another)
    return known, validated(known, job.plan.rounds)


def _foretold(rows: int, strength: float, seed: int) -> Candles:
    return planted_signal(rows + WARMUP, strength=strength, seed=seed)


def _columns(symbols: Iterable[tuple[Sample, Validation]]) -> dict[Horizon, list[Judged]]:
    """By horizon, each symbol's."""
    found: dict[Horizon, list[Judged]] = {}
    for known, validation in symbols:
        for place, horizon in enumerate(known.horizons):
            each = Judged(
                truth=known.labels[validation.unseen, place], said=validation.p_up[:, place]
            )
            found.setdefault(horizon, []).append(each)
    return found


def _nothing(market: str, found: dict[Horizon, list[Judged]]) -> Iterator[Row]:
    everyone = [each for symbols in found.values() for each in symbols]
    yield Row(
        what=f"{market}: intervals that hold 0.5",
        ours=_held_pct(everyone),
        unit="%",
        goal=at_least(90.0),
    )
    for horizon, symbols in found.items():
        yield Row(
            what=f"{market}, {horizon} ahead: pooled ROC AUC, from 0.5",
            ours=abs(_pooled(symbols) - 0.5),
            unit="",
            goal=at_most(0.01),
        )
        yield Row(
            what=f"{market}, {horizon} ahead: intervals that hold 0.5",
            ours=_held_pct(symbols),
            unit="%",
        )


def _signal(plan: Plan, strength: float) -> Iterator[Row]:
    job = daily_job(
        days_back=plan.signal_rows,
        min_days=1,
        test_days=plan.signal_rows // 8,
        rounds=plan.rounds,
    )
    ours: dict[Horizon, list[Judged]] = {}
    bayes: dict[Horizon, list[Judged]] = {}
    others: list[Slopes] = []
    for seed in range(1 + plan.signal_symbols):
        candles = _foretold(plan.signal_rows, strength, seed)
        slopes = expected_beside(others, job.horizons)
        known, validation = judged(replace(job, slopes=slopes), candles)
        others.append(borne_out(validation.scores))
        if not seed:
            continue
        rows = np.searchsorted(candles["at"], known.at[validation.unseen])
        signal = np.log(candles["volume"][rows])
        for horizon, (each,) in _columns([(known, validation)]).items():
            ours.setdefault(horizon, []).append(each)
            bayes.setdefault(horizon, []).append(Judged(truth=each.truth, said=signal))
    for horizon in ours:
        edge, most = _pooled(ours[horizon]) - 0.5, _pooled(bayes[horizon]) - 0.5
        yield Row(
            what=f"signal of {strength}, {horizon} ahead: edge of the ensemble",
            ours=edge,
            yardstick=most,
            ratio=edge / most,
            unit="",
            goal=at_least(_GOALS[horizon]) if horizon in _GOALS else None,
        )


def _pooled(symbols: list[Judged]) -> float:
    area = roc_auc(
        np.concatenate([each.truth for each in symbols]),
        np.concatenate([each.said for each in symbols]),
    )
    return 0.5 if area is None else area


def _held_pct(symbols: list[Judged]) -> float:
    held = [holds for each in symbols if (holds := _holds_one_half(each)) is not None]
    return 100.0 * float(np.mean(held))


def _holds_one_half(each: Judged) -> bool | None:
    area = roc_auc(each.truth, each.said)
    if area is None:
        return None
    low, high = interval(area, each.truth, each.said)
    return low <= 0.5 <= high


def _largest_error(found: dict[Horizon, list[Judged]]) -> float:
    """Of the pooled areas: Mann-Whitney's for two halves, from the rows that stand alone."""
    alone = [
        sum(independent_rows(each.truth, each.said) for each in symbols)
        for symbols in found.values()
    ]
    return float(1.0 / np.sqrt(3.0 * min(alone)))
