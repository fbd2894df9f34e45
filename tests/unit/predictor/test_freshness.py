from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.predictor.domain.freshness import Entry, Lapse, Moment, lapse, replaces
from tests.support.predicting import START, TTL, prediction

MINUTE = timedelta(minutes=1)
MADE = Moment(START, 1000.0)
ENTRY = Entry.of(prediction(version="v1", candle_at=START), MADE)


def after(span: timedelta) -> Moment:
    return Moment(START + span, MADE.tick + span.total_seconds())


def why(
    now: Moment, *, version: str = "v1", newest_candle: datetime | None = START
) -> Lapse | None:
    return lapse(ENTRY, model_version=version, newest_candle=newest_candle, now=now)


def test_a_prediction_is_fresh_until_its_time_is_over() -> None:
    assert why(after(TTL - MINUTE)) is None
    assert why(after(TTL)) is Lapse.EXPIRED


def test_a_clock_that_is_set_back_does_not_make_it_last_longer() -> None:
    assert why(Moment(START - timedelta(days=1), MADE.tick + 3600.0)) is Lapse.EXPIRED


def test_a_machine_that_slept_does_not_make_it_last_longer() -> None:
    assert why(Moment(START + timedelta(days=1), MADE.tick + 1.0)) is Lapse.EXPIRED


def test_another_live_model_ends_it_at_once() -> None:
    assert why(after(MINUTE), version="v2") is Lapse.MODEL


def test_a_newer_candle_ends_it_at_once() -> None:
    assert why(after(MINUTE), newest_candle=START + MINUTE) is Lapse.CANDLE


def test_a_candle_older_than_its_own_changes_nothing() -> None:
    assert why(after(MINUTE), newest_candle=START - MINUTE) is None


def test_without_word_of_any_candle_it_stays_fresh() -> None:
    assert why(after(MINUTE), newest_candle=None) is None


def test_it_is_renewed_half_way() -> None:
    assert ENTRY.half_life == MADE.tick + TTL.total_seconds() / 2


def test_a_newer_candle_replaces_and_an_older_one_does_not() -> None:
    older, newer = prediction(candle_at=START), prediction(candle_at=START + MINUTE)
    assert replaces(newer, older, START)
    assert not replaces(older, newer, START)


@pytest.mark.parametrize(("age", "replaced"), [(0.4, False), (0.5, True), (2.0, True)])
def test_an_equal_one_is_replaced_only_in_the_second_half_of_its_time(
    age: float, replaced: bool
) -> None:
    now = START + age * TTL
    renewed = prediction(generated_at=now)
    assert replaces(renewed, prediction(), now) is replaced


def test_one_that_was_made_to_last_longer_replaces_one_that_is_fresh() -> None:
    lasting = replace(prediction(), expires_at=START + 24 * TTL)
    assert replaces(lasting, prediction(), START)
    assert not replaces(prediction(), lasting, START)


def test_of_two_predictors_only_one_renews() -> None:
    now = START + 0.6 * TTL
    mine, theirs = prediction(generated_at=now), prediction(generated_at=now)
    assert replaces(mine, prediction(), now)
    assert not replaces(theirs, mine, now)


def test_the_same_one_is_not_written_again() -> None:
    stored = prediction()
    assert not replaces(stored, stored, START + TTL)


def test_a_mark_of_staleness_is_set_on_what_it_is_about() -> None:
    fresh = prediction()
    stale = replace(fresh, stale=True, stale_reason="candles are damaged")
    assert replaces(stale, fresh, START)
    assert not replaces(stale, stale, START)


def test_a_mark_of_staleness_does_not_fall_on_a_later_computation() -> None:
    mine = replace(prediction(), stale=True, stale_reason="I could not compute it")
    theirs = prediction(generated_at=START + MINUTE)
    assert not replaces(mine, theirs, START + MINUTE)
    assert replaces(theirs, mine, START + MINUTE)


def test_what_was_made_before_is_as_old_as_it_is() -> None:
    now = Moment(START + timedelta(minutes=15), 5000.0)
    entry = Entry.of(prediction(generated_at=START), now)
    assert (entry.made, entry.best_before) == (5000.0 - 900.0, 5000.0 + 2700.0)


def test_a_clock_that_was_set_back_lengthens_no_life() -> None:
    now = Moment(START - timedelta(days=1), 5000.0)
    entry = Entry.of(prediction(generated_at=START), now)
    assert (entry.made, entry.best_before) == (5000.0, 5000.0 + TTL.total_seconds())
