from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.trainer.domain import packing
from services.trainer.domain.failures import Unsound
from services.trainer.domain.jobs import FitResult, Inputs
from services.trainer.domain.learners import effort_for
from services.trainer.fit import fit
from shared.contracts.errors import CandlesRefused, NotEnoughHistory
from shared.contracts.terms import LEARNERS, Mode
from shared.contracts.trading import SignalParameters, TradingTerms
from shared.model.artifact import decode
from shared.model.candles import Candles
from shared.model.forecast import forecast
from tests.support.jobs import daily_job
from tests.support.markets import planted_signal, random_walk, troubled

ROWS = 480
JOB = daily_job(horizons=(1, 3, 30), rounds=30)


def _fit(candles: Candles, horizons: tuple[int, ...] = (1, 3, 30)) -> FitResult:
    return fit(
        daily_job(horizons=horizons, min_days=1, rounds=30),
        Inputs(candles=candles.tobytes()),
        lambda *_: None,
    )


@pytest.fixture(scope="module")
def fitted() -> FitResult:
    return fit(JOB, Inputs(candles=random_walk(ROWS).tobytes()), lambda *_: None)


def test_the_same_candles_give_the_same_bytes(fitted: FitResult) -> None:
    assert fit(JOB, Inputs(candles=random_walk(ROWS).tobytes()), lambda *_: None) == fitted
    assert fit(JOB, Inputs(candles=random_walk(ROWS, seed=1).tobytes()), lambda *_: None) != fitted


def test_a_model_says_what_it_is(fitted: FitResult) -> None:
    card = decode(fitted.artifact).card
    assert (card.symbol, card.timeframe, card.mode) == (JOB.symbol, JOB.timeframe, JOB.mode)
    assert card.horizons == fitted.horizons == (1, 3, 30)
    assert card.candle_at_ms == fitted.candle_at_ms == random_walk(ROWS)["at"][-1]
    assert card.rows == fitted.rows == ROWS - 120 - 30
    assert card.libraries == fitted.libraries
    assert set(card.libraries) == {"xgboost", "lightgbm", "catboost", "numpy"}


def test_every_learner_and_their_ensemble_are_scored_on_every_horizon(fitted: FitResult) -> None:
    scored = [(score.horizon, score.learner) for score in fitted.scores]
    assert scored == [(h, name) for h in (1, 3, 30) for name in (*LEARNERS, "ensemble")]
    assert {score.rows for score in fitted.scores} == {4 * 30}
    for score in fitted.scores:
        assert score.roc_auc is not None
        assert 0.0 <= score.roc_auc <= 1.0
        assert score.log_loss > 0.0
        assert 0.5 <= score.base_rate <= 1.0


def test_stages_are_told_in_order_with_growing_progress() -> None:
    told: list[tuple[str, float]] = []
    fit(
        JOB,
        Inputs(candles=random_walk(ROWS).tobytes()),
        lambda stage, done: told.append((stage, done)),
    )
    assert list(dict(told)) == ["features", "validating", "fitting", "checking"]
    assert [done for _, done in told] == sorted(done for _, done in told)
    assert all(0.0 <= done <= 1.0 for _, done in told)


def test_a_horizon_that_the_history_is_too_short_for_is_dropped_and_listed() -> None:
    result = _fit(random_walk(210), horizons=(30, 1, 3))
    assert (result.horizons, result.dropped) == ((1, 3), (30,))
    assert len(forecast(decode(result.artifact), random_walk(210))) == 2


def _standing_still(candles: Candles) -> None:
    for name in ("open", "high", "low", "close"):
        candles[name] = 100.0


def _no_volume(candles: Candles) -> None:
    candles["volume"] = 0.0


def _split(candles: Candles) -> None:
    for name in ("open", "high", "low", "close"):
        candles[name][200:] /= 10.0


def _gap(candles: Candles) -> None:
    candles["at"][200:] += 40 * 86_400_000


def _one_day_moves_a_thousandfold(candles: Candles) -> None:
    candles["high"][250] *= 1000.0


TROUBLES = (_standing_still, _no_volume, _split, _gap, _one_day_moves_a_thousandfold)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_troubled_data_gives_a_sound_model(trouble: Callable[[Candles], None]) -> None:
    candles = random_walk(400)
    trouble(candles)
    for said in forecast(decode(_fit(candles).artifact), candles):
        assert 0.0 < said.p_up < 1.0
        assert np.isfinite(said.expected_return_pct)


def test_rows_of_one_class_give_a_model_that_is_sure_but_not_certain() -> None:
    rising = random_walk(400, drift=0.05)
    said = forecast(decode(_fit(rising, horizons=(1,)).artifact), rising)[0]
    assert 0.95 < said.p_up < 1.0
    falling = random_walk(400, drift=-0.05)
    said = forecast(decode(_fit(falling, horizons=(1,)).artifact), falling)[0]
    assert 0.0 < said.p_up < 0.05


def test_long_standstills_give_a_sound_model() -> None:
    assert _fit(troubled(600)).horizons == (1, 3, 30)


def test_a_price_that_is_no_number_is_refused() -> None:
    candles = random_walk(400)
    candles["close"][7] = np.nan
    with pytest.raises(CandlesRefused, match="close is nan"):
        _fit(candles)


def test_no_candles_are_too_few() -> None:
    with pytest.raises(NotEnoughHistory):
        _fit(random_walk(0))


def test_a_booster_that_is_not_packed_exactly_fails_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exact = packing.pack_lightgbm

    def inexact(booster: Any, depth: int, *, base: float) -> packing.Group:
        group = exact(booster, depth, base=base)
        return replace(group, base=group.base + 1e-4)

    monkeypatch.setattr(packing, "pack_lightgbm", inexact)
    with pytest.raises(Unsound, match="lightgbm"):
        _fit(random_walk(ROWS))


def test_few_rows_are_given_coarse_trees() -> None:
    assert effort_for(730, rounds=9).depth < effort_for(17_000, rounds=9).depth


def test_a_full_training_tries_signals_on_what_its_validation_foretold() -> None:
    """Where the next candle can be foretold, signals that last for one candle win."""
    costless = TradingTerms(fee_pct=0.0, slippage_pct=0.0, min_net_profit_pct=0.0)
    job = daily_job(horizons=(1, 3), days_back=600, test_days=60, rounds=30)
    job = replace(
        job,
        plan=replace(job.plan, terms=costless),
        parameters=SignalParameters(take_profit_atr=3.0, stop_loss_atr=3.0, holding=1),
    )
    candles = planted_signal(720, strength=1.0)
    search = fit(job, Inputs(candles=candles.tobytes()), lambda *_: None).search
    assert search is not None
    assert search.before == job.parameters
    assert search.before_result.hit_rate is not None
    assert search.before_result.hit_rate > 0.65


def test_only_a_full_training_searches_parameters(fitted: FitResult) -> None:
    assert fitted.search is not None
    quick = fit(
        replace(JOB, mode=Mode.QUICK), Inputs(candles=random_walk(ROWS).tobytes()), lambda *_: None
    )
    assert quick.search is None
