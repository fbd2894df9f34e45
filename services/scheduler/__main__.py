"""The scheduler: takes ticks, says what is due, keeps candles and the view of runs up to date."""

import asyncio
import logging
import uuid
from contextlib import AsyncExitStack
from functools import partial

from services.scheduler.adapters.outlet import (
    TickLedger,
    TrainingLock,
    TrainingRequests,
    keep_universe,
)
from services.scheduler.adapters.progress import ProgressMirror
from services.scheduler.adapters.registry import RegistryMirror
from services.scheduler.adapters.schedules import install
from services.scheduler.adapters.view import SCHEMA, RunView, follow_runs
from services.scheduler.domain.cadence import CANDLES
from services.scheduler.handlers import Answers, Ticks
from services.scheduler.market import Market
from services.scheduler.settings import Settings
from shared.bus import topology
from shared.bus.connection import connected
from shared.bus.consumer import Delivery, Work, consume
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.bus.rpc import Endpoint, serve
from shared.bus.survey import Reporter
from shared.contracts import subjects
from shared.contracts.records import Universe
from shared.contracts.requests import (
    CandlesRequest,
    JobsRequest,
    PlanRequest,
    RunsRequest,
    TrainingStatusRequest,
    TrainRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source
from shared.market.providers.catalogue import open_provider
from shared.market.store import CandleStore
from shared.runtime.clock import to_ms, utc_now
from shared.runtime.service import run
from shared.runtime.settings import Environment
from shared.runtime.tasks import endless, supervise
from shared.runtime.version import VERSION
from shared.storage.sqlite import open_view

log = logging.getLogger(__name__)


async def main(env: Environment) -> None:
    settings = Settings.read(env)
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(connected(settings.nats, name="scheduler"))
        await topology.ensure(connection)
        publisher = Publisher(connection)
        store = CandleStore(Bucket(connection, subjects.CANDLES))
        provider = await open_provider(
            settings.provider,
            timeframe=settings.timeframe,
            resume_after_ms=await _newest_candle(store),
        )
        universe = Universe(
            symbols=settings.symbols or provider.symbols(),
            timeframe=settings.timeframe,
            horizons=settings.horizons,
        )
        await keep_universe(connection, universe)
        database = await stack.enter_async_context(
            open_view(settings.data_dir / "scheduler" / "runs.sqlite", SCHEMA)
        )
        view, registry, progress = RunView(database), RegistryMirror(connection), ProgressMirror()
        market = Market(provider, store, publisher, utc_now)
        requests = TrainingRequests(publisher)
        ticks = Ticks(requests, TickLedger(connection))
        answers = Answers(
            universe=universe,
            models=registry.models,
            runs=view,
            candles=market,
            progress=progress,
            lock=TrainingLock(connection),
            policy=settings.policy,
            schedules=settings.schedules,
            enabled=settings.cycling,
            clock=utc_now,
        )
        endpoints = (
            Endpoint(name="plan", request=PlanRequest, handler=answers.plan),
            Endpoint(name="status", request=TrainingStatusRequest, handler=answers.status),
            Endpoint(name="runs", request=RunsRequest, handler=answers.runs),
            Endpoint(name="jobs", request=JobsRequest, handler=answers.jobs),
            Endpoint(name="candles", request=CandlesRequest, handler=answers.candles),
        )
        reporter = Reporter("scheduler", VERSION)

        async def on_training_tick(delivery: Delivery) -> None:
            await ticks.on_tick(delivery.subject.rpartition(".")[2], delivery.stored_at)

        async def on_candle_tick(delivery: Delivery) -> None:
            await market.update(universe)

        training_ticks = Work(
            stream=subjects.CLOCK,
            durable="training-ticks",
            filters=tuple(subjects.tick(mode) for mode in Mode),
            handler=on_training_tick,
        )
        candle_ticks = Work(
            stream=subjects.CLOCK,
            durable="candle-ticks",
            filters=(subjects.tick(CANDLES),),
            handler=on_candle_tick,
            in_flight=1,
        )

        async def first_update() -> None:
            """Fetch the candles that are there, and begin with symbols that have no model."""
            await market.update(universe)
            await registry.complete.wait()
            missing = tuple(s for s in universe.symbols if s not in registry.models)
            if settings.quick_start and missing and not await view.unfinished():
                await requests.request(Mode.QUICK, _first_request(missing))

        async def take_candle_ticks(stop: asyncio.Event) -> None:
            await first_update()
            await consume(connection, publisher, candle_ticks, stop)

        await install(connection, settings.schedules, names=(CANDLES, *Mode))
        reporter.ready = True
        log.info("ready", extra={"symbols": len(universe.symbols), "provider": settings.provider})
        await supervise(
            connection.stay_open,
            endless(partial(follow_runs, connection, view)),
            endless(registry.follow),
            partial(progress.follow, connection),
            partial(consume, connection, publisher, training_ticks),
            take_candle_ticks,
            partial(serve, connection, "scheduler", VERSION, endpoints),
            partial(reporter.report_itself, connection),
            grace=5,
        )


async def _newest_candle(store: CandleStore) -> int | None:
    """The open time in ms of the newest candle of any series, where a replay goes on."""
    series = await store.summaries(now_ms=0)
    return max((to_ms(one.last) for one in series if one.last is not None), default=None)


def _first_request(symbols: tuple[Symbol, ...]) -> TrainRequest:
    name = f"first-{uuid.uuid4().hex[:8]}"
    return TrainRequest(symbols=symbols, source=Source.AUTOMATION, request_id=name)


if __name__ == "__main__":
    run("scheduler", main)
