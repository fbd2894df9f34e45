"""Whatever the data is, a job ends with a typed reason or with an honest model."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from services.trainer.domain.jobs import FitResult, Inputs
from services.trainer.fit import fit
from shared.contracts.errors import CandlesRefused, NotEnoughHistory
from shared.contracts.terms import ENSEMBLE, Mode
from shared.model.artifact import decode
from shared.model.candles import Candles
from shared.model.forecast import forecast
from tests.support.jobs import daily_job
from tests.support.markets import random_walk, split_at

HORIZONS = (1, 3)
JOB = daily_job(horizons=HORIZONS, min_days=5, rounds=20)
PRICES = ("open", "high", "low", "close")
BASE_ROWS = 420


def _still(candles: Candles) -> None:
    for name in PRICES:
        candles[name] = 100.0


def _no_volume(candles: Candles) -> None:
    candles["volume"] = 0.0


def _rising_only(candles: Candles) -> None:
    for name in PRICES:
        candles[name] = 100.0 * 1.01 ** np.arange(len(candles))


def _gap(candles: Candles) -> None:
    candles["at"][BASE_ROWS + 10 :] += 40 * 86_400_000


def _split(candles: Candles) -> None:
    for name in PRICES:
        candles[name][BASE_ROWS + 10 :] /= 10.0


TROUBLES = (_still, _no_volume, _rising_only, _gap, _split)


def _run(candles: Candles, mode: Mode = Mode.FULL, base: bytes = b"") -> FitResult:
    job = replace(JOB, mode=mode)
    return fit(job, Inputs(candles=candles.tobytes(), base=base), lambda *_: None)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_an_update_on_troubled_data_is_sound(trouble: Callable[[Candles], None]) -> None:
    candles = random_walk(480)
    full = _run(candles[:BASE_ROWS])
    trouble(candles)
    updated = _run(candles, Mode.INCREMENTAL, full.native)
    assert updated.mode is Mode.INCREMENTAL
    for said in forecast(decode(updated.artifact), candles):
        assert 0.0 < said.p_up < 1.0
        assert np.isfinite(said.expected_return_pct)


def test_an_update_of_a_base_that_knew_one_class_only_is_sound() -> None:
    candles = random_walk(480)
    _rising_only(candles[:BASE_ROWS])
    full = _run(candles[:BASE_ROWS])
    updated = _run(candles, Mode.INCREMENTAL, full.native)
    assert updated.mode is Mode.INCREMENTAL
    assert all(0.0 < said.p_up < 1.0 for said in forecast(decode(updated.artifact), candles))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0])
@pytest.mark.parametrize("name", [*PRICES, "volume"])
@pytest.mark.parametrize("mode", [Mode.FULL, Mode.INCREMENTAL])
def test_what_is_no_price_and_no_volume_is_refused_by_name(
    name: str, value: float, mode: Mode
) -> None:
    candles = random_walk(300)
    candles[name][200] = value
    with pytest.raises(CandlesRefused, match=f"{name} is {value}"):
        _run(candles, mode)


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.QUICK, Mode.INCREMENTAL])
@pytest.mark.parametrize("rows", [0, 1, 7, 120, 121, 160])
def test_a_symbol_listed_last_week_says_what_it_lacks(rows: int, mode: Mode) -> None:
    with pytest.raises(NotEnoughHistory):
        _run(random_walk(rows), mode)


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.INCREMENTAL])
def test_a_split_changes_nothing_but_the_note(mode: Mode) -> None:
    candles = random_walk(480)
    full = _run(candles[:BASE_ROWS])
    plain = _run(candles, mode, full.native)
    split = _run(split_at(candles, BASE_ROWS + 10, 2.0), mode, full.native)
    assert plain.note is None
    assert split.note == "adjusted for a 2:1 split at 2025-03-06T00:00:00Z"
    assert split.artifact == plain.artifact


def test_a_young_symbol_is_given_the_horizons_that_can_be_judged_and_no_others() -> None:
    job = replace(JOB, horizons=(1, 3, 30))
    result = fit(job, Inputs(candles=random_walk(215).tobytes()), lambda *_: None)
    assert (result.horizons, result.dropped) == (HORIZONS, (30,))
    assert {score.horizon for score in result.scores} == set(HORIZONS)


def test_a_price_that_stands_still_is_never_said_to_rise() -> None:
    candles = random_walk(400)
    _still(candles)
    result = _run(candles)
    assert all(said.p_up < 0.5 for said in forecast(decode(result.artifact), candles))
    assert all(s.roc_auc is None for s in result.scores if s.learner == ENSEMBLE)
