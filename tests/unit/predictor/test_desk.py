from dataclasses import replace
from datetime import timedelta

import pytest

from services.predictor.domain.desk import Desk
from services.predictor.domain.freshness import Moment
from services.predictor.domain.setbacks import setback
from shared.contracts.errors import NotReady
from shared.contracts.records import Problem
from shared.contracts.terms import Timeframe
from tests.support.predicting import BTC, START, prediction, record

NOW = Moment(START, 100.0)
DAMAGED = Problem(code="artifact_refused", message="the artifact is damaged")


@pytest.fixture
def desk() -> Desk:
    return Desk(symbol=BTC)


def test_waits_double_up_to_five_minutes() -> None:
    last, waits = None, []
    for _ in range(11):
        last = setback(DAMAGED, last, 0.0)
        waits.append(last.until)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_without_a_model_there_is_no_answer(desk: Desk) -> None:
    with pytest.raises(NotReady, match="no model of BTC/USDT"):
        desk.answer(NOW)


def test_without_a_prediction_it_says_what_is_wrong(desk: Desk) -> None:
    desk.promote(record())
    desk.fail(DAMAGED, NOW.tick)
    with pytest.raises(NotReady, match="the artifact is damaged"):
        desk.answer(NOW)


def test_a_fresh_prediction_is_the_answer_as_it_is(desk: Desk) -> None:
    desk.promote(record("v1"))
    desk.succeed(prediction(version="v1"), NOW, heard=None)
    assert desk.answer(NOW) == prediction(version="v1")


def test_a_new_model_makes_the_answer_stale_and_says_why(desk: Desk) -> None:
    desk.promote(record("v1"))
    desk.succeed(prediction(version="v1"), NOW, heard=None)
    desk.promote(record("v2"))
    answer = desk.answer(NOW)
    assert answer.stale
    assert answer.stale_reason == "a newer model is live"


def test_a_refused_model_is_named_as_the_reason(desk: Desk) -> None:
    live = record("v2")
    desk.promote(live)
    desk.succeed(prediction(version="v1"), NOW, heard=None)
    desk.refuse(live, DAMAGED, NOW.tick)
    reason = desk.answer(NOW).stale_reason
    assert reason == "a newer model is live: the artifact is damaged"


def test_the_same_promotion_is_news_once(desk: Desk) -> None:
    assert desk.promote(record("v1"))
    assert not desk.promote(record("v1"))


def test_a_new_model_is_tried_at_once_whatever_failed_before(desk: Desk) -> None:
    desk.promote(record("v1"))
    desk.fail(DAMAGED, NOW.tick)
    desk.promote(record("v2"))
    assert not desk.rests(NOW.tick)


def test_a_refusal_of_a_model_that_is_no_longer_live_is_forgotten(desk: Desk) -> None:
    old, new = record("v1"), record("v2")
    desk.promote(old)
    desk.promote(new)
    desk.refuse(old, DAMAGED, NOW.tick)
    assert desk.refused is None


def test_candles_of_another_timeframe_end_with_its_model(desk: Desk) -> None:
    desk.promote(record("v1", timeframe=Timeframe.M1))
    desk.hear(START + timedelta(days=1))
    desk.promote(record("v2", timeframe=Timeframe.M15))
    assert desk.newest is None


def test_an_older_candle_is_no_news(desk: Desk) -> None:
    assert desk.hear(START)
    assert not desk.hear(START)
    assert not desk.hear(START - timedelta(minutes=15))


def test_a_withdrawn_model_takes_its_prediction_along(desk: Desk) -> None:
    desk.promote(record("v1"))
    desk.succeed(prediction(), NOW, heard=None)
    desk.withdraw()
    with pytest.raises(NotReady):
        desk.answer(NOW)


def test_what_is_remembered_is_an_answer_but_never_fresh(desk: Desk) -> None:
    desk.remember(replace(prediction(), stale=True, stale_reason="of long ago"))
    desk.promote(record("v1"))
    assert not desk.settled(NOW)
    assert desk.answer(NOW).stale_reason == "it is older than predictions may be"


def test_what_is_remembered_does_not_become_fresh_by_being_told_again(desk: Desk) -> None:
    desk.promote(record("v1"))
    desk.remember(prediction())
    desk.extend(replace(prediction(), expires_at=START + timedelta(days=1)), NOW)
    assert not desk.settled(NOW)


def test_it_is_due_again_when_its_setback_ends_or_its_time_is_half_over(desk: Desk) -> None:
    desk.promote(record("v1"))
    assert desk.due_again is None
    desk.succeed(prediction(), NOW, heard=None)
    assert desk.due_again == NOW.tick + 1800.0
    desk.fail(DAMAGED, NOW.tick)
    assert desk.due_again == NOW.tick + 1.0


def test_while_a_model_is_refused_the_last_good_one_has_the_last_word(desk: Desk) -> None:
    live = record("v2")
    desk.accept(record("v1"))
    desk.promote(live)
    desk.succeed(prediction(version="v1"), NOW, heard=None)
    assert not desk.settled(NOW)
    desk.refuse(live, DAMAGED, NOW.tick)
    assert desk.settled(NOW)
    assert not desk.settled(Moment(START, NOW.tick + 1.0))


def test_the_store_has_the_last_word_on_which_candle_is_the_newest(desk: Desk) -> None:
    desk.promote(record("v1"))
    desk.hear(START + timedelta(days=365))  # and it is not there
    desk.succeed(prediction(candle_at=START), NOW, heard=desk.newest)
    assert desk.settled(NOW)


def test_a_candle_heard_of_during_the_look_is_still_looked_for(desk: Desk) -> None:
    desk.promote(record("v1"))
    heard = desk.newest
    desk.hear(START + timedelta(minutes=15))
    desk.succeed(prediction(candle_at=START), NOW, heard=heard)
    assert not desk.settled(NOW)
