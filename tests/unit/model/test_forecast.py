import dataclasses

import numpy as np
import pytest

from shared.contracts.errors import ArtifactRefused, NotEnoughHistory
from shared.contracts.terms import LEARNERS, Direction, Timeframe
from shared.model.features import matrix
from shared.model.forecast import forecast, probabilities
from shared.model.history import MIN_WINDOW, WARMUP, rows_to_read
from shared.model.odds import logit, sigmoid
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
        assert said.expected_return_pct == pytest.approx(1.5 * said.p_up - (1 - said.p_up))
        assert said.interval_pct == (-2.0, 2.5)


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
