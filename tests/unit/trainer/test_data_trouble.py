"""Whatever the data is, a job ends with a typed reason or with an honest model."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from services.trainer.domain.failures import Unsound
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
JOB = daily_job(horizons=HORIZONS, min_days=5, test_days=100, rounds=8)
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


def _rising_then_falling(candles: Candles) -> None:
    """Nothing varies in the first training window, and so no bin of it has an edge."""
    for name in PRICES:
        candles[name] = 100.0 * 1.01 ** np.minimum(np.arange(480), 600 - np.arange(480))


def _gap(candles: Candles) -> None:
    candles["at"][BASE_ROWS + 10 :] += 40 * 86_400_000


def _step_that_is_no_split(candles: Candles) -> None:
    for name in PRICES:
        candles[name][BASE_ROWS + 10 :] /= 12.5


def _no_volume_for_half(candles: Candles) -> None:
    candles["volume"][:240] = 0.0


def _still_for_a_hundred(candles: Candles) -> None:
    for name in PRICES:
        candles[name][300:400] = candles["close"][300]


def _stopped_trading(candles: Candles) -> None:
    candles["volume"][380:] = 0.0
    for name in PRICES:
        candles[name][380:] = candles["close"][380]


def _one_price_in_each_candle(candles: Candles) -> None:
    for name in ("open", "high", "low"):
        candles[name] = candles["close"]


def _two_prices_a_tick_apart(candles: Candles) -> None:
    for name in PRICES:
        candles[name] = np.where(np.arange(480) // 7 % 2, 1e-8, 2e-8)


def _mistaken_high(candles: Candles) -> None:
    candles["high"][300] *= 1e3


def _mistaken_candle(candles: Candles) -> None:
    for name in PRICES:
        candles[name][300] *= 1e4


def _mistaken_newest_candle(candles: Candles) -> None:
    for name in PRICES:
        candles[name][-1] /= 1e4


def _mistaken_volume(candles: Candles) -> None:
    candles["volume"][300] = 1e20


TROUBLES = (
    _still,
    _no_volume,
    _rising_only,
    _rising_then_falling,
    _gap,
    _step_that_is_no_split,
    _no_volume_for_half,
    _still_for_a_hundred,
    _stopped_trading,
    _one_price_in_each_candle,
    _two_prices_a_tick_apart,
    _mistaken_high,
    _mistaken_candle,
    _mistaken_newest_candle,
    _mistaken_volume,
)


def _run(candles: Candles, mode: Mode = Mode.FULL, base: bytes = b"") -> FitResult:
    job = replace(JOB, mode=mode)
    return fit(job, Inputs(candles=candles.tobytes(), base=base), lambda *_: None)


@pytest.fixture(scope="module")
def base() -> bytes:
    """Of a full model that knew the first candles, when nothing was wrong with them."""
    return _run(random_walk(480)[:BASE_ROWS]).native


@pytest.fixture(scope="module")
def untroubled() -> FitResult:
    return _run(random_walk(480))


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.INCREMENTAL])
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_a_model_of_troubled_data_is_sound(
    trouble: Callable[[Candles], None], mode: Mode, base: bytes
) -> None:
    candles = random_walk(480)
    trouble(candles)
    with np.errstate(all="raise", under="ignore"):
        result = _run(candles, mode, base)
        assert (result.mode, result.horizons) == (mode, HORIZONS)
        for said in forecast(decode(result.artifact), candles):
            assert 0.0 < said.p_up < 1.0
            assert np.isfinite(said.expected_return_pct)


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.INCREMENTAL])
@pytest.mark.parametrize("mistake", [_mistaken_candle, _mistaken_newest_candle])
def test_one_mistaken_candle_does_not_make_a_fortune_expected(
    mistake: Callable[[Candles], None], mode: Mode, base: bytes
) -> None:
    candles = random_walk(480)
    mistake(candles)
    for said in forecast(decode(_run(candles, mode, base).artifact), candles):
        assert abs(said.expected_return_pct) < 2.0


def test_a_price_beyond_all_proportion_is_a_failure_of_its_kind() -> None:
    candles = random_walk(480)
    for name in PRICES:
        candles[name][300:] /= 1e11
    with pytest.raises(Unsound, match="cannot be served"):
        _run(candles)


@pytest.mark.parametrize("factor", [1e-10, 1e7])
def test_a_model_does_not_depend_on_what_a_share_costs(
    factor: float, untroubled: FitResult
) -> None:
    dear_or_cheap = random_walk(480)
    for name in PRICES:
        dear_or_cheap[name] *= factor
    for ours, theirs in zip(untroubled.scores, _run(dear_or_cheap).scores, strict=True):
        assert ours.log_loss == pytest.approx(theirs.log_loss, abs=1e-3)


@pytest.mark.parametrize("order", [(10, 10), (11, 10)])
def test_candles_twice_or_out_of_order_are_refused(order: tuple[int, int]) -> None:
    candles = random_walk(300)
    candles["at"][[10, 11]] = candles["at"][list(order)]
    with pytest.raises(CandlesRefused, match="order of time"):
        _run(candles)


def test_a_close_above_the_high_is_refused() -> None:
    candles = random_walk(300)
    candles["close"][200] *= 3.0
    with pytest.raises(CandlesRefused, match="close is not between low and high"):
        _run(candles)


def test_an_update_of_a_base_that_knew_one_class_only_is_sound() -> None:
    candles = random_walk(480)
    _rising_only(candles[:BASE_ROWS])
    full = _run(candles[:BASE_ROWS])
    updated = _run(candles, Mode.INCREMENTAL, full.native)
    assert updated.mode is Mode.INCREMENTAL
    assert all(0.0 < said.p_up < 1.0 for said in forecast(decode(updated.artifact), candles))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
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


def test_a_split_changes_nothing_but_the_note(untroubled: FitResult) -> None:
    split = _run(split_at(random_walk(480), BASE_ROWS + 10, 2.0))
    assert untroubled.note is None
    assert split.note == "adjusted for a 2:1 split at 2025-03-06T00:00:00Z"
    assert split.artifact == untroubled.artifact


def test_a_split_since_the_base_changes_nothing_but_the_note_of_an_update(base: bytes) -> None:
    candles = random_walk(480)
    plain = _run(candles, Mode.INCREMENTAL, base)
    split = _run(split_at(candles, BASE_ROWS + 10, 2.0), Mode.INCREMENTAL, base)
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
