"""Channels, history, pace, progress, ranking and problems of the gateway."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain import ranking
from services.gateway.domain.channels import EVERY_PREDICTION, Channel, Topic, UnknownChannel, parse
from services.gateway.domain.copies import Copies, Predictions, Tails
from services.gateway.domain.history import History, Publication
from services.gateway.domain.models import view
from services.gateway.domain.pace import Pace
from services.gateway.domain.problems import KINDS, problem_of
from services.gateway.domain.progress import advanced
from shared.contracts.errors import (
    AppError,
    Conflict,
    Fenced,
    InvalidSymbol,
    NotEnoughHistory,
    UnknownSymbol,
)
from shared.contracts.events import RunCompleted, RunProgressed, RunStarted
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source
from shared.market.candles import Candle
from tests.support.gateways import SYMBOLS, UNIVERSE, model, prediction

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
BTC, ETH = SYMBOLS[:2]


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("predictions:BTC/USDT", Channel(Topic.PREDICTIONS, BTC)),
        ("predictions:*", EVERY_PREDICTION),
        ("candles:THYAO.IS", Channel(Topic.CANDLES, Symbol("THYAO.IS"))),
        ("signals", Channel(Topic.SIGNALS)),
        ("signals:BRK-B", Channel(Topic.SIGNALS, Symbol("BRK-B"))),
        ("training", Channel(Topic.TRAINING)),
        ("system", Channel(Topic.SYSTEM)),
        ("candles:X:Y", Channel(Topic.CANDLES, Symbol("X:Y"))),
    ],
)
def test_a_channel_is_read_and_written_alike(name: str, channel: Channel) -> None:
    assert parse(name) == channel
    assert str(channel) == name


@pytest.mark.parametrize(
    "name", ["", "foo", "candles", "predictions", "training:X", "models:", ":"]
)
def test_a_name_that_is_no_channel_is_refused_with_the_list_of_those_that_are(name: str) -> None:
    with pytest.raises(UnknownChannel, match="predictions:SYMBOL"):
        parse(name)


@given(st.text())
def test_any_text_is_a_channel_or_one_of_two_documented_errors(text: str) -> None:
    for name in (text, f"predictions:{text}"):
        with suppress(UnknownChannel, InvalidSymbol):
            assert str(parse(name)) == name


@given(st.integers(0, 30), st.integers(1, 10), st.integers(-2, 33))
def test_history_gives_exactly_what_was_missed_or_nothing(
    length: int, capacity: int, seq: int
) -> None:
    history = History(capacity)
    published = [Publication("training", n, b"") for n in range(1, length + 1)]
    for publication in published:
        history.add(publication)
    known = 0 <= seq <= length and length - seq <= capacity
    assert history.after("training", seq, until=length) == (published[seq:] if known else None)


def test_a_channel_that_lost_events_to_another_of_its_topic_is_not_complete() -> None:
    history = History(3)
    for channel, seq in (("signals:A", 1), ("signals:A", 2), ("signals", 1), ("signals", 2)):
        history.add(Publication(channel, seq, b""))
    assert history.after("signals:A", 0, until=2) is None
    assert history.after("signals:A", 1, until=2) == [Publication("signals:A", 2, b"")]


def test_a_pace_allows_a_burst_and_then_its_rate() -> None:
    pace = Pace(per_second=20, burst=40, now=0.0)
    assert sum(pace.allows(0.0) for _ in range(100)) == 40
    assert sum(pace.allows(1.0) for _ in range(100)) == 20


def started(run_id: str = "r1") -> RunStarted:
    return RunStarted(
        id="1",
        at=AT,
        run_id=run_id,
        mode=Mode.FULL,
        source=Source.API,
        total=4,
        batches=1,
        holder="t",
    )


def progressed(run_id: str = "r1", done: int = 2) -> RunProgressed:
    return RunProgressed(
        id="2",
        at=AT,
        run_id=run_id,
        mode=Mode.FULL,
        source=Source.API,
        total=4,
        done=done,
        failed=0,
        skipped=0,
        batch=1,
        batches=1,
        progress_pct=25.0 * done,
        eta_s=3.0,
    )


def completed(run_id: str = "r1") -> RunCompleted:
    return RunCompleted(
        id="3",
        at=AT,
        run_id=run_id,
        mode=Mode.FULL,
        source=Source.API,
        total=4,
        done=4,
        failed=0,
        skipped=0,
        duration_s=9.0,
    )


def test_a_run_is_current_from_its_start_to_its_end() -> None:
    current = advanced(None, started())
    current = advanced(current, progressed())
    assert current is not None
    assert (current.run_id, current.started_at, current.done, current.eta_s) == ("r1", AT, 2, 3.0)
    assert advanced(current, completed()) is None


def test_news_of_another_run_changes_nothing() -> None:
    current = advanced(None, started())
    assert advanced(current, progressed("r0")) == current
    assert advanced(current, completed("r0")) == current


def test_the_top_takes_the_best_forecast_of_each_symbol() -> None:
    one = prediction(BTC, at=AT, confidence=0.6)
    two = prediction(ETH, at=AT, confidence=0.9)
    ranked = ranking.top([one, two], n=5, horizon=None, sort="confidence", now=AT, away=False)
    assert [line.symbol for line in ranked] == [ETH, BTC]
    by_return = ranking.top(
        [one, two], n=1, horizon=None, sort="expected_return", now=AT, away=False
    )
    assert [(line.symbol, line.forecast.horizon) for line in by_return] == [(BTC, 30)]


def test_the_top_of_one_horizon_leaves_the_others_out() -> None:
    ranked = ranking.top(
        [prediction(BTC, at=AT)], n=5, horizon=7, sort="confidence", now=AT, away=False
    )
    assert [line.forecast.horizon for line in ranked] == [7]
    assert not ranking.top(
        [prediction(BTC, at=AT)], n=5, horizon=2, sort="confidence", now=AT, away=False
    )


@pytest.mark.parametrize(("later", "away"), [(timedelta(hours=2), False), (timedelta(0), True)])
def test_a_prediction_that_cannot_be_called_fresh_is_marked(later: timedelta, away: bool) -> None:
    (line,) = ranking.top(
        [prediction(BTC, at=AT)], n=5, horizon=None, sort="confidence", now=AT + later, away=away
    )
    assert line.stale


def test_a_prediction_that_is_known_already_is_no_news() -> None:
    copies = Predictions()
    assert copies.put(prediction(BTC, at=AT))
    assert not copies.put(prediction(BTC, at=AT))
    assert copies.put(prediction(BTC, at=AT, version="v2"))


def test_the_entity_tag_changes_with_the_content_only() -> None:
    copies = Predictions()
    copies.put(prediction(BTC, at=AT))
    first = copies.get(BTC)
    stale = copies.get_stale(BTC, "away")
    copies.put(prediction(BTC, at=AT, version="v2"))
    second = copies.get(BTC)
    assert first is not None
    assert second is not None
    assert stale is not None
    assert len({first.answer.etag, second.answer.etag, stale.answer.etag}) == 3
    assert b'"stale":true' in stale.answer.body


def test_a_symbol_outside_the_universe_is_unknown() -> None:
    copies = Copies(universe=UNIVERSE)
    copies.check_symbol(BTC)
    with pytest.raises(UnknownSymbol, match="/api/v1/symbols"):
        copies.check_symbol(Symbol("NOPE"))


def candle(at: int, close: float = 1.0) -> Candle:
    return Candle(at, 1.0, 2.0, 0.5, close, 3.0)


def test_candles_that_arrive_while_the_tail_is_read_are_in_it_once() -> None:
    tails = Tails()
    tails.begin(BTC)
    tails.add(BTC, candle(3), added=1)
    tails.add(BTC, candle(4), added=1)
    tails.complete(BTC, [candle(1), candle(2), candle(3)])
    tails.add(BTC, candle(4, close=9.0), added=1)
    assert [row.at_ms for row in tails.get(BTC) or ()] == [1, 2, 3, 4]
    assert (tails.get(BTC) or [])[-1].close == 9.0


def test_a_tail_with_a_hole_is_given_up() -> None:
    tails = Tails()
    tails.begin(BTC)
    tails.complete(BTC, [candle(1)])
    tails.add(BTC, candle(5), added=4)
    assert tails.get(BTC) is None


def test_a_tail_stays_as_long_as_a_chart_can_show() -> None:
    tails = Tails()
    tails.begin(BTC)
    tails.complete(BTC, [candle(at) for at in range(500)])
    tails.add(BTC, candle(500), added=1)
    rows = tails.get(BTC) or []
    assert (len(rows), rows[0].at_ms, rows[-1].at_ms) == (300, 201, 500)


def test_a_model_shows_its_metrics_by_horizon_and_learner() -> None:
    shown = view(model(BTC, at=AT), AT + timedelta(days=1.5))
    assert shown.age_days == 1.5
    assert shown.metrics["7"]["ensemble"].roc_auc == 0.55


def test_every_kind_of_problem_is_a_client_or_server_error_with_a_title() -> None:
    for code, kind in KINDS.items():
        assert 400 <= kind.status < 600, code
        assert kind.title[0].isupper(), code


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UnknownSymbol("x"), 404, "unknown_symbol"),
        (InvalidSymbol("x"), 422, "invalid_symbol"),
        (Conflict("x"), 409, "conflict"),
        (Fenced("x"), 503, "unavailable"),
        (NotEnoughHistory("x"), 422, "invalid_request"),
    ],
)
def test_an_error_raised_on_purpose_has_a_status_and_a_stable_code(
    error: AppError, status: int, code: str
) -> None:
    told = problem_of(error)
    assert told.status == status
    assert f'"code":"{code}"'.encode() in told.body
    assert ("retry-after" in told.headers) == (status == 503 or code == "conflict")


def test_a_stale_prediction_stays_stale_in_the_top() -> None:
    stale = replace(prediction(BTC, at=AT), stale=True)
    (line,) = ranking.top([stale], n=1, horizon=None, sort="confidence", now=AT, away=False)
    assert line.stale
