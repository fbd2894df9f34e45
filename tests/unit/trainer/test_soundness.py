"""The check between training and promotion, shown models that must not pass."""

import dataclasses

import numpy as np
import pytest

from services.trainer.domain import soundness
from services.trainer.domain.boosters import Constant
from services.trainer.domain.failures import Unsound
from services.trainer.domain.learners import Booster
from services.trainer.domain.packing import forest
from services.trainer.domain.soundness import check_packed, sound_artifact
from shared.model.artifact import Model, encode
from shared.model.features import matrix
from tests.support.markets import random_walk
from tests.support.models import BOOSTERS, made_up_model

FEATURES = matrix(random_walk(200))


def _constants() -> tuple[Model, list[list[Booster]]]:
    """A model whose boosters say 0.5, and the boosters."""
    fitted: list[list[Booster]] = [[Constant(0.5) for _ in BOOSTERS] for _ in range(2)]
    groups = [booster.packed(3) for each in fitted for booster in each]
    return dataclasses.replace(made_up_model(), forest=forest(groups, 3)), fitted


def test_a_model_that_says_what_its_boosters_say_passes() -> None:
    check_packed(*_constants(), FEATURES)


@pytest.mark.parametrize("share", [0.50002, float("nan")])
def test_a_booster_that_says_something_else_is_named(share: float) -> None:
    model, fitted = _constants()
    fitted[1][2] = Constant(share)
    with pytest.raises(Unsound, match=r"catboost, horizon 3: .* differ by"):
        check_packed(model, fitted, FEATURES)


def test_one_wrong_leaf_is_found_where_rows_reach_it() -> None:
    model, fitted = _constants()
    leaf = model.forest.leaf.copy()
    leaf[0, 0] += 1e-3
    wrong = dataclasses.replace(model, forest=dataclasses.replace(model.forest, leaf=leaf))
    with pytest.raises(Unsound, match="xgboost, horizon 1"):
        check_packed(wrong, fitted, np.ascontiguousarray(FEATURES))


def test_a_sound_model_becomes_its_file() -> None:
    model, _ = _constants()
    assert sound_artifact(model) == encode(model)


@pytest.mark.parametrize("number", [float("nan"), 1e30])
def test_a_model_with_a_number_beyond_reason_is_unsound(number: float) -> None:
    model, _ = _constants()
    weights = model.linear.weights.copy()
    weights[0, 0] = number
    wrong = dataclasses.replace(model, linear=dataclasses.replace(model.linear, weights=weights))
    with pytest.raises(Unsound, match="cannot be served"):
        sound_artifact(wrong)


def test_a_model_that_would_be_slow_to_ask_is_unsound(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = _constants()
    monkeypatch.setattr(soundness, "_MOST_TREES", len(model.forest.leaf) - 1)
    with pytest.raises(Unsound, match="trees; a model may have"):
        sound_artifact(model)


def test_a_model_whose_file_is_too_large_is_unsound(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = _constants()
    monkeypatch.setattr(soundness, "_MOST_BYTES", len(encode(model)) - 1)
    with pytest.raises(Unsound, match="bytes; a model's may have"):
        sound_artifact(model)
