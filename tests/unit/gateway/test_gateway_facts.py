import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.gateway.domain.channels import (
    EVERY_PREDICTION,
    SIGNALS,
    SYSTEM,
    TRAINING,
    Channel,
    Topic,
)
from services.gateway.domain.copies import Copies
from services.gateway.handlers.facts import Facts
from shared.contracts import codec
from shared.contracts.errors import Unavailable
from shared.contracts.events import (
    CandlesUpdated,
    DriftDetected,
    Event,
    ModelRolledBack,
    RunStarted,
    SignalClosed,
    SignalExpired,
    SignalOpened,
    SignalRejected,
)
from shared.contracts.reports import (
    CpuStatus,
    Finding,
    Health,
    Level,
    NatsStatus,
    SystemStatus,
    Usage,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Timeframe
from shared.contracts.trading import Exit
from shared.market.candles import Candle
from shared.runtime.tasks import alongside
from tests.support.gateways import SYMBOLS, UNIVERSE, model, prediction
from tests.support.trading import closed_signal, open_signal, rejection

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
BTC = SYMBOLS[0]
CANDLES = Channel(Topic.CANDLES, BTC)


class Press:
    """What was published, and which snapshots were supplied."""

    def __init__(self) -> None:
        self.printed: list[tuple[str, str, Any]] = []
        self.supplied: list[str] = []

    def publish(self, channel: Channel, data: bytes, *, at: datetime, key: str = "") -> None:
        self.printed.append((str(channel), key, json.loads(data)))

    def supply(self, channel: Channel) -> None:
        self.supplied.append(str(channel))

    @property
    def channels(self) -> list[str]:
        return [channel for channel, _, _ in self.printed]


class Archive:
    """Two candles, after so many failures."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures

    async def tail(self, symbol: Symbol, timeframe: Timeframe) -> Iterable[Candle]:
        await asyncio.sleep(0.01)
        if self.failures:
            self.failures -= 1
            raise Unavailable("NATS is away")
        return [Candle(1, 1, 2, 0.5, 1, 3), Candle(2, 1, 2, 0.5, 1, 3)]


def newsroom() -> tuple[Facts, Press, Copies]:
    copies, press = Copies(universe=UNIVERSE), Press()
    facts = Facts(copies)
    facts.tell(press.publish)
    return facts, press, copies


def run_started() -> RunStarted:
    return RunStarted(
        id="1",
        at=AT,
        run_id="r1",
        mode=Mode.FULL,
        source=Source.API,
        total=4,
        batches=1,
        holder="t",
    )


def candles_updated(ms: int, added: int = 1) -> CandlesUpdated:
    return CandlesUpdated(
        id=str(ms),
        at=AT,
        symbol=BTC,
        timeframe=Timeframe.M15,
        added=added,
        candle_at=datetime.fromtimestamp(ms / 1000, UTC),
        open=1,
        high=2,
        low=0.5,
        close=1.5,
        volume=3,
    )


def status(level: Level, code: str, *, cpu: float = 1.0) -> SystemStatus:
    usage = Usage(used_pct=1, free_mb=1, total_mb=2)
    return SystemStatus(
        at=AT,
        version="1",
        services=(),
        nats=NatsStatus(connected=True, round_trip_ms=1.0),
        cpu=CpuStatus(used_pct=cpu, cores=2),
        memory=usage,
        disk=usage,
        cache=None,
        queues={},
        lock=None,
        current_run=None,
        coverage=None,
        health=Health(
            level=level, findings=(Finding(level=level, code=code, message="look here"),)
        ),
    )


def test_what_happened_before_our_time_is_known_but_is_no_news() -> None:
    facts, press, _ = newsroom()
    facts.on_history(run_started())
    assert press.printed == []
    current = json.loads(facts.snapshot(TRAINING) or b"")["current_run"]
    assert (current["run_id"], current["done"]) == ("r1", 0)


def test_an_event_of_a_run_goes_to_training_as_it_was_said() -> None:
    facts, press, _ = newsroom()
    facts.on_event(run_started())
    ((channel, _, data),) = press.printed
    assert channel == "training"
    assert isinstance(data, dict)
    assert (data["type"], data["run_id"]) == ("run.started", "r1")


def test_a_new_prediction_is_news_for_its_symbol_and_for_those_who_watch_all() -> None:
    facts, press, _ = newsroom()
    facts.on_prediction(prediction(BTC, at=AT))
    facts.on_prediction(prediction(BTC, at=AT))
    assert [(c, k) for c, k, _ in press.printed] == [
        ("predictions:BTC/USDT", ""),
        ("predictions:*", "BTC/USDT"),
    ]
    facts.on_prediction_gone(BTC)
    assert facts.snapshot(Channel(Topic.PREDICTIONS, BTC)) == b"null"


def test_when_another_model_goes_live_listeners_hear_that_what_they_have_is_stale() -> None:
    facts, press, _ = newsroom()
    facts.on_prediction(prediction(BTC, at=AT, version="v2"))
    facts.on_model(replace(model(BTC, at=AT), version="v1"))  # rolled back
    told = [data for channel, _, data in press.printed if channel == "predictions:BTC/USDT"]
    assert [(data["model_version"], data["stale"]) for data in told] == [
        ("v2", False),
        ("v2", True),
    ]
    assert json.loads(facts.snapshot(EVERY_PREDICTION) or b"")[0]["stale"]
    facts.on_prediction(prediction(BTC, at=AT, version="v1"))
    assert press.printed[-1][2]["stale"] is False


def test_a_prediction_that_comes_before_word_of_its_model_is_fresh_once_that_is_there() -> None:
    facts, press, _ = newsroom()
    facts.on_model(model(BTC, at=AT))
    facts.on_prediction(prediction(BTC, at=AT, version="v2"))
    assert press.printed[-1][2]["stale"]
    facts.on_model(replace(model(BTC, at=AT), version="v2"))
    assert press.printed[-1][2]["stale"] is False


def test_a_model_that_is_live_already_is_no_news_for_its_predictions() -> None:
    facts, press, _ = newsroom()
    facts.on_prediction(prediction(BTC, at=AT))
    facts.on_model(model(BTC, at=AT))
    assert len(press.printed) == 2


@pytest.mark.parametrize(
    "event",
    [
        SignalOpened(id="1", at=AT, symbol=BTC, signal=open_signal(BTC)),
        SignalClosed(id="1", at=AT, symbol=BTC, signal=closed_signal(BTC)),
        SignalExpired(id="1", at=AT, symbol=BTC, signal=closed_signal(BTC, exit=Exit.EXPIRY)),
        SignalRejected(id="1", at=AT, symbol=BTC, rejection=rejection(BTC)),
    ],
)
def test_what_happens_to_signals_is_told_to_those_who_follow_all_or_that_symbol(
    event: Event,
) -> None:
    facts, press, _ = newsroom()
    facts.on_event(event)
    assert press.channels == ["signals", "signals:BTC/USDT"]
    assert press.printed[0][2] == json.loads(codec.encode(event))


@pytest.mark.parametrize(
    "event",
    [
        ModelRolledBack(
            id="1", at=AT, symbol=BTC, model_version="v1", previous_version="v2", token=9
        ),
        DriftDetected(
            id="1", at=AT, symbol=BTC, model_version="v1", note="moved", training_run_id=None
        ),
    ],
)
def test_what_concerns_a_model_is_told_to_those_who_follow_models(event: Event) -> None:
    facts, press, _ = newsroom()
    facts.on_event(event)
    assert press.channels == ["models"]


def test_who_begins_to_follow_signals_is_shown_the_open_ones() -> None:
    facts, _, _ = newsroom()
    facts.on_open_signal(open_signal(BTC))
    facts.on_open_signal(open_signal(SYMBOLS[1]))
    everything = json.loads(facts.snapshot(SIGNALS) or b"")
    assert {signal["symbol"] for signal in everything} == {BTC, SYMBOLS[1]}
    facts.on_signal_gone(SYMBOLS[1])
    assert facts.snapshot(Channel(Topic.SIGNALS, SYMBOLS[1])) == b"[]"
    (left,) = json.loads(facts.snapshot(Channel(Topic.SIGNALS, BTC)) or b"")
    assert left["id"] == "BTC_USDT-1"


def test_health_is_news_when_it_changes_and_figures_are_not() -> None:
    facts, press, _ = newsroom()
    facts.on_status(status(Level.OK, "fine"))
    facts.on_status(status(Level.OK, "fine", cpu=99.0))
    facts.on_status(status(Level.ERROR, "service_down"))
    assert press.channels == ["system", "system"]
    assert json.loads(facts.snapshot(SYSTEM) or b"")["level"] == "error"


def test_a_symbol_that_left_is_not_in_the_predictions_until_it_is_back() -> None:
    facts, _, _ = newsroom()
    facts.on_prediction(prediction(BTC, at=AT))
    facts.on_universe(replace(UNIVERSE, symbols=SYMBOLS[1:]))
    assert facts.snapshot(EVERY_PREDICTION) == b"[]"
    facts.on_universe(UNIVERSE)
    (back,) = json.loads(facts.snapshot(EVERY_PREDICTION) or b"")
    assert back["symbol"] == BTC


def test_models_are_shown_to_those_who_begin_to_listen() -> None:
    facts, _, _ = newsroom()
    facts.on_model(model(BTC, at=AT))
    (line,) = json.loads(facts.snapshot(Channel(Topic.MODELS)) or b"")
    assert (line["symbol"], line["model_version"], line["avg_roc_auc"]) == ("BTC/USDT", "v1", 0.55)
    facts.on_model_gone(BTC)
    assert facts.snapshot(Channel(Topic.MODELS)) == b"[]"


async def test_candles_are_read_when_somebody_wants_them_and_then_kept_up_to_date() -> None:
    facts, press, _ = newsroom()
    assert facts.snapshot(CANDLES) is None
    async with alongside(facts.read_candles(Archive(), press.supply), name="read"):
        await asyncio.sleep(0.005)
        facts.on_event(candles_updated(3))  # while the read is under way
        await asyncio.sleep(1)
    assert press.supplied == ["candles:BTC/USDT"]
    facts.on_event(candles_updated(4))
    shown = json.loads(facts.snapshot(CANDLES) or b"")
    assert [row[0] for row in shown["candles"]] == [1, 2, 3, 4]
    assert shown["candles"][-1] == [4, 1, 2, 0.5, 1.5, 3]


async def test_candles_that_cannot_be_read_now_are_read_later() -> None:
    facts, press, _ = newsroom()
    facts.snapshot(CANDLES)
    async with alongside(facts.read_candles(Archive(failures=3), press.supply), name="read"):
        await asyncio.sleep(60)
    assert press.supplied == ["candles:BTC/USDT"]


def test_a_candle_is_news_with_its_numbers_in_the_order_of_charts() -> None:
    facts, press, _ = newsroom()
    facts.on_event(candles_updated(900_000))
    assert press.printed == [
        (
            "candles:BTC/USDT",
            "",
            {"timeframe": "15m", "added": 1, "candle": [900_000, 1, 2, 0.5, 1.5, 3]},
        )
    ]
