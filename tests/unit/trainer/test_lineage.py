from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.domain.lineage import lineage, to_live_again
from shared.contracts.errors import NoEarlierModel, UnknownVersion
from shared.contracts.records import ModelRecord
from shared.contracts.symbols import Symbol
from tests.support.coordination import BEGIN, model_record

SYMBOL = Symbol("BTC/USDT")


def written(*days: int) -> list[ModelRecord]:
    """The writes of a symbol, each by the day on which its model was made."""
    return [
        model_record(SYMBOL, token=token, version=f"v{day}", created_at=BEGIN + timedelta(days=day))
        for token, day in enumerate(days, 1)
    ]


def before_live(*days: int) -> str:
    return to_live_again(written(*days), None).version


def test_the_model_before_the_live_one_lives_again() -> None:
    assert before_live(1, 2, 3) == "v2"


def test_a_second_rollback_goes_one_further_back() -> None:
    assert before_live(1, 2, 3, 2) == "v1"


def test_after_a_rollback_and_a_training_the_model_that_was_refused_is_not_gone_back_to() -> None:
    assert before_live(1, 2, 3, 2, 4) == "v2"
    assert before_live(1, 2, 3, 2, 4, 2) == "v1"


def test_a_rollback_forward_by_name_can_be_taken_back() -> None:
    assert before_live(1, 2, 3, 2, 3) == "v2"


def test_what_the_history_has_forgotten_does_not_bring_a_bad_model_back() -> None:
    assert before_live(3, 2, 4) == "v2"


def test_a_model_that_was_marked_as_due_is_one_model() -> None:
    assert before_live(1, 2, 2) == "v1"


def test_what_was_learned_of_a_model_since_is_kept() -> None:
    kept = written(1, 1, 2)
    kept[1] = replace(kept[1], needs_full=True)
    assert to_live_again(kept, None).needs_full
    assert to_live_again(kept, "v1").needs_full


def test_a_named_version_lives_again_however_old() -> None:
    assert to_live_again(written(1, 2, 3, 4), "v1").version == "v1"


@pytest.mark.parametrize("days", [(1,), (1, 2, 1), (2, 2)])
def test_before_the_first_model_there_is_none(days: tuple[int, ...]) -> None:
    with pytest.raises(NoEarlierModel, match="evertrain train"):
        before_live(*days)


def test_a_version_that_is_not_kept_is_refused_with_those_that_are() -> None:
    with pytest.raises(UnknownVersion, match=r"there are: v1, v2$"):
        to_live_again(written(1, 2, 3), "v9")


def test_the_live_version_is_no_earlier_one() -> None:
    with pytest.raises(UnknownVersion, match="is the live model"):
        to_live_again(written(1, 2), "v2")


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12))
def test_a_lineage_ends_with_the_live_model_and_only_grows_in_age(days: list[int]) -> None:
    led = lineage(written(*days))
    assert led[-1].version == f"v{days[-1]}"
    assert all(a.created_at < b.created_at for a, b in pairwise(led))
