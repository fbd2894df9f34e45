from datetime import timedelta

from services.trainer.domain.retention import Retention, Version, aged_out, needed
from tests.support.coordination import BEGIN

RETENTION = Retention(models_per_symbol=2, days=30)


def written(*days: int) -> list[Version]:
    return [
        Version(
            version=f"v{day}",
            created_at=BEGIN + timedelta(days=day),
            sha256=f"model {day}",
            native_sha256=f"native {day}",
        )
        for day in days
    ]


def test_the_newest_models_are_needed_with_what_updates_start_from() -> None:
    names = needed([written(1, 2, 3)], RETENTION)
    assert names == {"model 2", "native 2", "model 3", "native 3"}


def test_the_live_model_is_needed_however_old_it_is() -> None:
    assert {"model 1", "native 1"} <= needed([written(1, 2, 3, 4, 1)], RETENTION)


def test_a_model_that_was_written_again_counts_once() -> None:
    assert "model 1" in needed([written(1, 2, 2, 2)], RETENTION)


def test_each_symbol_has_its_own_newest_models() -> None:
    assert {"model 1", "model 9"} <= needed([written(1), written(8, 9)], RETENTION)


def test_a_symbol_of_which_nothing_is_left_needs_nothing() -> None:
    assert needed([[]], RETENTION) == frozenset()


def test_what_is_as_old_as_it_may_be_stays() -> None:
    assert not aged_out(BEGIN, RETENTION, BEGIN + timedelta(days=30))
    assert aged_out(BEGIN, RETENTION, BEGIN + timedelta(days=30, seconds=1))
