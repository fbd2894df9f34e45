import dataclasses

import numpy as np
import pytest

from shared.contracts.errors import ArtifactRefused, NotEnoughHistory
from shared.contracts.terms import LEARNERS, Direction, Timeframe
from shared.model.features import matrix
from shared.model.forecast import forecast, probabilities
from shared.model.history import MIN_WINDOW, WARMUP, rows_to_read
from shared.model.odds import logit, sigmoid
from shared.model.reach import atr_pct, reach
from tests.support.markets import random_walk
from tests.support.models import made_up_model

MODEL = made_up_model(horizons=(1, 3, 30))
CANDLES = random_walk(300)


def test_the_newest_row_of_many_is_forecast_like_that_row_alone() -> None:
    many = probabilities(MODEL, matrix(CANDLES))
    for column, said in enumerate(forecast(MODEL, CANDLES)):
        assert said.p_up == pytest.approx(many.p_up[-1, column], abs=1e-12)
        assert list(said.by_learner.values()) == pytest.approx(many.by_learner[-1, column])


def test_older_candles_than_the_warm_up_change_nothing() -> None:
    assert forecast(MODEL, CANDLES[-WARMUP - 1 :]) == forecast(MODEL, CANDLES)


def test_a_forecast_says_its_numbers_in_the_contracts_terms() -> None:
    for said, outlook in zip(forecast(MODEL, CANDLES), MODEL.card.outlooks, strict=True):
        assert said.horizon == outlook.horizon
        assert tuple(said.by_learner) == LEARNERS
        assert said.p_up == pytest.approx(np.mean(list(said.by_learner.values())))
        assert said.direction is (Direction.UP if said.p_up >= 0.5 else Direction.DOWN)
        assert said.confidence == max(said.p_up, 1 - said.p_up)
        expected = 1.5 * said.p_up - (1 - said.p_up)
        (times,) = reach(atr_pct(CANDLES)[-1:], 2.0)
        assert said.expected_return_pct == pytest.approx(times * expected)
        assert said.interval_pct == pytest.approx(
            (times * (expected - 2), times * (expected + 2.5))
        )
        assert said.interval_coverage == 0.8


def test_an_interval_is_wider_while_the_market_moves_more() -> None:
    """Three times the average true range, in a market that otherwise did the same."""
    wild = CANDLES.copy()
    for name in ("open", "high", "low", "close"):
        wild[name] = 100.0 * (CANDLES[name] / 100.0) ** 3
    for usual, more in zip(forecast(MODEL, CANDLES), forecast(MODEL, wild), strict=True):
        width, wider = (np.diff(said.interval_pct).item() for said in (usual, more))
        assert wider / width == pytest.approx(3**0.75, rel=0.05)


def test_nobody_is_told_of_a_loss_of_more_than_everything() -> None:
    outlooks = tuple(dataclasses.replace(outlook, low_pct=-1e6) for outlook in MODEL.card.outlooks)
    ruinous = dataclasses.replace(MODEL, card=dataclasses.replace(MODEL.card, outlooks=outlooks))
    assert {said.interval_pct[0] for said in forecast(ruinous, CANDLES)} == {-100.0}


def test_an_older_model_answers_with_the_interval_that_it_has() -> None:
    outlooks = tuple(
        dataclasses.replace(outlook, usual_atr_pct=None) for outlook in MODEL.card.outlooks
    )
    older = dataclasses.replace(MODEL, card=dataclasses.replace(MODEL.card, outlooks=outlooks))
    for said in forecast(older, CANDLES):
        assert said.interval_pct == (-2.0, 2.5)
        assert said.interval_coverage is None
        assert said.expected_return_pct == pytest.approx(1.5 * said.p_up - (1 - said.p_up))


def test_calibration_bends_the_mean_of_the_learners() -> None:
    outlooks = tuple(
        dataclasses.replace(outlook, slope=0.5, intercept=0.1) for outlook in MODEL.card.outlooks
    )
    bent = dataclasses.replace(MODEL, card=dataclasses.replace(MODEL.card, outlooks=outlooks))
    plain, other = forecast(MODEL, CANDLES)[0], forecast(bent, CANDLES)[0]
    assert other.by_learner == plain.by_learner
    expected = sigmoid(0.5 * logit(np.array(plain.p_up)) + 0.1)
    assert other.p_up == pytest.approx(float(expected))


def test_too_few_candles_are_refused_with_the_number_needed() -> None:
    with pytest.raises(NotEnoughHistory, match=f"{WARMUP} candles.*needs {WARMUP + 1}"):
        forecast(MODEL, CANDLES[:WARMUP])


def test_a_model_of_other_features_is_refused() -> None:
    with pytest.raises(ArtifactRefused, match="other features"):
        forecast(made_up_model(spec="0" * 64), CANDLES)


def test_a_training_reads_its_days_and_the_warm_up_and_never_a_useless_few() -> None:
    assert rows_to_read(Timeframe.M15, 180) == 180 * 96 + WARMUP
    assert rows_to_read(Timeframe.D1, 90) == MIN_WINDOW + WARMUP


def test_no_rows_give_no_probabilities() -> None:
    none = probabilities(MODEL, matrix(CANDLES)[:0])
    assert (none.p_up.shape, none.by_learner.shape) == ((0, 3), (0, 3, 4))
