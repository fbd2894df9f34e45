"""Drift is found where it is, and stays unfound where there is none."""

import numpy as np
import pytest

from services.trainer.domain.drift import MIN_RECENT, feature_p_values, ks, measure, psi, ranks
from services.trainer.domain.jobs import DriftJob, Inputs
from shared.contracts.errors import NotEnoughHistory
from shared.contracts.quality import DriftMeasurement
from shared.contracts.symbols import Symbol
from shared.model.candles import Candles
from tests.support.markets import clustered, split_at

RECENT, HORIZON = 200, 30
#: What the features need, then what was learned, then what came since.
TRAINED = 120 + 24 * RECENT


def measured(candles: Candles, *, since: int = RECENT, rows: int = 24 * RECENT) -> DriftMeasurement:
    job = DriftJob(
        symbol=Symbol("BTC/USDT"),
        model_version="v1",
        rows=rows - HORIZON,
        candle_at_ms=int(candles["at"][-since - 1]),
        longest_horizon=HORIZON,
    )
    return measure(job, Inputs(candles=candles.tobytes()))


def wilder(candles: Candles, since: int) -> Candles:
    """The same closes, with ranges that are three times as wide from there on."""
    wild = candles.copy()
    recent = wild[since:]
    reach = np.log(recent["high"] / recent["low"])
    recent["high"] *= np.exp(reach)
    recent["low"] *= np.exp(-reach)
    return wild


def test_a_market_that_has_changed_is_found_with_what_changed_in_it() -> None:
    found = measured(wilder(clustered(TRAINED + RECENT), TRAINED))
    assert found.p_value < 1e-6
    assert found.features[0].feature in {"body", "upper_wick", "lower_wick", "range"}
    assert found.features[0].psi > 0.25
    assert found.features[0].p_value <= found.features[-1].p_value


def test_a_market_that_goes_on_is_not_called_another_more_often_than_is_said() -> None:
    candles = clustered(TRAINED + 30 * RECENT, seed=5)
    ends = range(TRAINED + RECENT, len(candles) + 1, RECENT)
    p_values = [measured(candles[end - TRAINED - RECENT : end]).p_value for end in ends]
    assert sum(p < 0.1 for p in p_values) <= 0.2 * len(p_values)
    assert min(p_values) > 0.1 / len(p_values) / 20


def test_a_split_is_no_drift() -> None:
    candles = clustered(TRAINED + RECENT)
    divided = split_at(candles, TRAINED + RECENT // 2, 4.0)
    assert measured(divided).p_value == pytest.approx(measured(candles).p_value, rel=1e-3)


def test_too_few_candles_since_the_training_are_refused_with_how_many_it_takes() -> None:
    candles = clustered(TRAINED + RECENT)
    with pytest.raises(NotEnoughHistory, match=r"49 candles of .* 50 and 600 are needed"):
        measured(candles, since=MIN_RECENT - 1)


def test_what_is_compared_is_never_more_than_a_twelfth_of_what_was_learned() -> None:
    found = measured(clustered(TRAINED + RECENT), since=1000, rows=1230)
    assert (found.reference_rows, found.recent_rows) == (1200, 100)


def test_a_feature_that_stands_still_has_not_drifted() -> None:
    table = ranks(np.ones((130, 2), np.float32)).reshape(13, 10, 2)
    assert feature_p_values(table).tolist() == [1.0, 1.0]


def test_equal_values_share_their_rank() -> None:
    found = ranks(np.array([[3.0], [1.0], [3.0], [5.0]], np.float32))
    assert found[:, 0].tolist() == [0.0, -0.375, 0.0, 0.375]


def test_psi_and_ks_are_what_their_definitions_say() -> None:
    before = np.arange(100, dtype=np.float32)
    after = np.tile(before[50:], 2)
    old, gone, more = 10.5 / 105, 0.5 / 105, 20.5 / 105
    wanted = 5 * (gone - old) * np.log(gone / old) + 5 * (more - old) * np.log(more / old)
    assert psi(before, after) == pytest.approx(wanted)
    assert ks(before, after) == pytest.approx(0.5)
