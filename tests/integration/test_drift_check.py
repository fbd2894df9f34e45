"""A check for drift over a real bus: trainers that measure, a run that is asked for, a report."""

import asyncio
from datetime import datetime, timedelta
from functools import partial

import pytest

from services.scheduler.adapters.drift import Reports, Trainers
from services.scheduler.adapters.outlet import TrainingRequests
from services.scheduler.domain.configuration import beginning
from services.scheduler.domain.decisions import Decisions
from services.scheduler.drift import DriftWatch
from shared.bus.connection import Connection
from shared.bus.consumer import lying_in
from shared.bus.publisher import Publisher
from shared.bus.quality import Scorecards
from shared.bus.rpc import Endpoint, serve
from shared.contracts import codec, subjects
from shared.contracts.configuration import Configuration
from shared.contracts.errors import NotEnoughHistory, Unavailable
from shared.contracts.events import DriftDetected
from shared.contracts.quality import DriftMeasurement
from shared.contracts.records import Universe
from shared.contracts.requests import MeasureDriftRequest, TrainRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Source, Timeframe
from shared.runtime.tasks import alongside
from shared.runtime.version import VERSION
from tests.support.coordination import BEGIN, symbols
from tests.support.predicting import record
from tests.support.system import eventually

QUIET, MOVED = symbols(2)


async def measure(asked: MeasureDriftRequest) -> DriftMeasurement:
    if asked.symbol == QUIET:
        raise NotEnoughHistory("7 candles since its training")
    return DriftMeasurement(
        symbol=asked.symbol,
        model_version="v1",
        reference_rows=6000,
        recent_rows=300,
        p_value=1e-9,
        features=(),
    )


class NoAttempts:
    async def attempts(self) -> dict[Symbol, datetime]:
        return {}


def watch(connection: Connection) -> DriftWatch:
    universe = Universe(symbols=(QUIET, MOVED), timeframe=Timeframe.M15, horizons=(1, 3))
    publisher = Publisher(connection)
    return DriftWatch(
        decisions=Decisions(universe, beginning(Configuration(), BEGIN)),
        models={symbol: record(symbol=symbol) for symbol in (QUIET, MOVED)},
        gauge=Trainers(connection),
        scorecards=Scorecards(connection),
        reports=Reports(connection),
        attempts=NoAttempts(),
        requests=TrainingRequests(publisher),
        outlet=publisher,
        clock=lambda: BEGIN,
    )


async def test_two_schedulers_that_act_on_one_tick_ask_for_one_run(connection: Connection) -> None:
    endpoint = Endpoint(name="drift", request=MeasureDriftRequest, handler=measure)
    served = partial(serve, connection, "trainer", VERSION, (endpoint,))
    async with alongside(served(asyncio.Event()), name="trainer"):

        async def answered() -> bool:
            try:
                await Trainers(connection).measure(MOVED)
            except Unavailable:
                return False
            return True

        await eventually(answered, within=5)
        async with asyncio.TaskGroup() as schedulers:
            for _ in range(2):
                schedulers.create_task(watch(connection).on_due(BEGIN + timedelta(hours=1)))
    report = await Reports(connection).newest()
    assert report is not None
    assert [(one.symbol, one.drifted) for one in report.findings] == [(MOVED, True), (QUIET, False)]
    assert "7 candles since its training" in report.findings[1].note
    asked = [
        codec.decode(one.data, TrainRequest)
        async for one in lying_in(connection, subjects.REQUESTS, "evertrain.train.full")
    ]
    assert asked == [TrainRequest(symbols=(MOVED,), source=Source.DRIFT, request_id=report.id)]
    told = [
        codec.decode_event(one.data)
        async for one in lying_in(connection, subjects.EVENTS, "evertrain.event.drift.detected.*")
    ]
    assert [type(one) for one in told] == [DriftDetected]


async def test_without_a_trainer_measuring_is_unavailable(connection: Connection) -> None:
    with pytest.raises(Unavailable, match="the trainer does not answer"):
        await Trainers(connection).measure(MOVED)
