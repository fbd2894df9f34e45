"""The scheduler: takes ticks, says what is due, keeps candles and the view of runs up to date."""

import asyncio
import logging
import uuid
from contextlib import AsyncExitStack
from functools import partial

from services.scheduler import automation, roster
from services.scheduler.adapters import intake
from services.scheduler.adapters.artifacts import StoredArtifacts
from services.scheduler.adapters.audience import Audience
from services.scheduler.adapters.decisions import StoredRecord
from services.scheduler.adapters.drift import Reports, Trainers
from services.scheduler.adapters.ledger import MissedTicks, TickLedger
from services.scheduler.adapters.outlet import CandleTicks, TrainingRequests
from services.scheduler.adapters.parameters import StoredParameters
from services.scheduler.adapters.predictions import Predictors
from services.scheduler.adapters.progress import ProgressMirror
from services.scheduler.adapters.registry import RegistryMirror
from services.scheduler.adapters.runbook import KvRunBook
from services.scheduler.adapters.schedules import install
from services.scheduler.adapters.symbols_file import SymbolsFile
from services.scheduler.adapters.view import SCHEMA, RunView, follow_runs
from services.scheduler.automation import Automation
from services.scheduler.cancellation import Cancellation
from services.scheduler.domain.cadence import CLEANUP, DRIFT, PREGENERATION
from services.scheduler.domain.configuration import schedules
from services.scheduler.domain.decisions import Decisions
from services.scheduler.drift import DriftWatch
from services.scheduler.handlers import Answers
from services.scheduler.market import Market
from services.scheduler.roster import Roster
from services.scheduler.settings import Settings
from services.scheduler.ticks import Regeneration, Ticks, cleaning_up, pregenerating, training
from shared.bus import topology
from shared.bus.connection import Connection, connected
from shared.bus.consumer import consume
from shared.bus.kv import Bucket
from shared.bus.locks import TrainingLock
from shared.bus.publisher import Publisher
from shared.bus.quality import Scorecards
from shared.bus.rpc import Endpoint, serve
from shared.bus.survey import Reporter
from shared.contracts import subjects
from shared.contracts.configuration import Configured
from shared.contracts.records import Universe
from shared.contracts.requests import (
    CancelRequest,
    CandlesRequest,
    CheckDriftRequest,
    ChooseSymbolsRequest,
    ConfigurationRequest,
    ConfigureRequest,
    DriftReportRequest,
    JobsRequest,
    PlanRequest,
    RunsRequest,
    StartRequest,
    StopRequest,
    TrainingStatusRequest,
    TrainRequest,
    UniverseRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source
from shared.market.providers.catalogue import open_provider
from shared.market.store import CandleStore
from shared.model.history import rows_to_read
from shared.runtime.clock import to_ms, utc_now
from shared.runtime.service import run
from shared.runtime.settings import Environment
from shared.runtime.tasks import Worker, endless, supervise
from shared.runtime.version import VERSION
from shared.storage.sqlite import open_view

log = logging.getLogger(__name__)


async def main(env: Environment) -> None:
    settings = Settings.read(env)
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(connected(settings.nats, name="scheduler"))
        await topology.ensure(connection)
        publisher = Publisher(connection)
        universes = StoredRecord(connection, subjects.UNIVERSE, Universe)
        configurations = StoredRecord(connection, subjects.CONFIGURATION, Configured)
        store = CandleStore(Bucket(connection, subjects.CANDLES))
        provider = await stack.enter_async_context(
            open_provider(
                settings.provider,
                timeframe=settings.timeframe,
                # Asked for with each new symbol, long after there are decisions.
                history=lambda: rows_to_read(settings.timeframe, decisions.configured.days_back),
                resume_after_ms=await _newest_candle(store),
            )
        )
        decisions = await _decided(settings, provider.symbols(), universes, configurations)
        market = Market(provider, store, publisher, utc_now)
        database = await stack.enter_async_context(
            open_view(settings.data_dir / "scheduler" / "runs.sqlite", SCHEMA)
        )
        view, registry = RunView(database), RegistryMirror(connection)

        answers, mirrors = _answering(connection, decisions, registry, view, market)
        controls = _controlling(connection, publisher, decisions, configurations, view)
        choices, lists = _choosing(settings, publisher, decisions, universes)
        drift, checks = _checking(connection, publisher, decisions, registry, view)
        endpoints = (*answers, *controls, *choices, *checks)
        reporter = Reporter("scheduler", VERSION)

        async def update_candles() -> None:
            await market.update(decisions.universe)

        async def take_candle_ticks(stop: asyncio.Event) -> None:
            await update_candles()
            if settings.quick_start:
                await registry.complete.wait()
                await _train_what_has_no_model(decisions.universe, registry, view, publisher)
            await consume(connection, publisher, intake.candle_ticks(update_candles), stop)

        ticks = await _ticking(
            settings, connection, publisher, decisions, configurations, registry, drift
        )
        reporter.ready = True
        count = len(decisions.universe.symbols)
        log.info("ready", extra={"symbols": count, "provider": settings.provider})
        await supervise(
            connection.stay_open,
            endless(partial(follow_runs, connection, view)),
            endless(registry.follow),
            *lists,
            *mirrors,
            *ticks,
            take_candle_ticks,
            partial(serve, connection, "scheduler", VERSION, endpoints),
            partial(reporter.report_itself, connection),
            grace=5,
        )


async def _decided(
    settings: Settings,
    offered: tuple[Symbol, ...],
    universes: StoredRecord[Universe],
    configurations: StoredRecord[Configured],
) -> Decisions:
    """What is stored already, or else what the settings say, or the provider."""
    first = Universe(
        symbols=settings.symbols or offered,
        timeframe=settings.timeframe,
        horizons=settings.horizons,
        chosen_by="settings" if settings.symbols else "provider",
    )
    universe = await roster.in_force(universes, first, settings.symbols)
    if not universe.symbols:
        # An exchange has more symbols than anyone would train, so it offers none by itself.
        log.warning("no symbols: set SYMBOLS, or choose some with `evertrain symbols add`")
    configured = await automation.in_force(
        configurations, settings.configuration, settings.named, utc_now
    )
    return Decisions(universe=universe, configured=configured)


def _answering(
    connection: Connection,
    decisions: Decisions,
    registry: RegistryMirror,
    view: RunView,
    market: Market,
) -> tuple[tuple[Endpoint, ...], tuple[Worker, ...]]:
    """And what keeps up to date what only answers need."""
    progress, missed = ProgressMirror(), MissedTicks(connection)
    answers = Answers(
        decisions=decisions,
        models=registry.models,
        runs=view,
        candles=market,
        progress=progress,
        lock=TrainingLock(connection),
        missed=missed,
        audience=Audience(connection),
        clock=utc_now,
    )
    endpoints = (
        Endpoint(name="plan", request=PlanRequest, handler=answers.plan),
        Endpoint(name="status", request=TrainingStatusRequest, handler=answers.status),
        Endpoint(name="runs", request=RunsRequest, handler=answers.runs),
        Endpoint(name="jobs", request=JobsRequest, handler=answers.jobs),
        Endpoint(name="candles", request=CandlesRequest, handler=answers.candles),
    )
    return endpoints, (partial(progress.follow, connection), endless(missed.follow))


def _controlling(
    connection: Connection,
    publisher: Publisher,
    decisions: Decisions,
    configurations: StoredRecord[Configured],
    view: RunView,
) -> tuple[Endpoint, ...]:
    cancellation = Cancellation(view, KvRunBook(connection), utc_now)
    control = Automation(
        decisions=decisions,
        configurations=configurations,
        parameters=StoredParameters(connection),
        requests=TrainingRequests(publisher),
        runs=view,
        cancelling=cancellation,
        clock=utc_now,
    )
    return (
        Endpoint(name="cancel", request=CancelRequest, handler=cancellation.cancel),
        Endpoint(name="start", request=StartRequest, handler=control.start),
        Endpoint(name="stop", request=StopRequest, handler=control.stop),
        Endpoint(name="config", request=ConfigurationRequest, handler=control.report),
        Endpoint(name="configure", request=ConfigureRequest, handler=control.configure),
    )


def _choosing(
    settings: Settings,
    publisher: Publisher,
    decisions: Decisions,
    universes: StoredRecord[Universe],
) -> tuple[tuple[Endpoint, ...], tuple[Worker, ...]]:
    """And what follows the choices of others, and the file of symbols if there is one."""
    candles, listed = CandleTicks(publisher), settings.symbols
    choice = Roster(decisions=decisions, universes=universes, candles=candles, listed=listed)
    endpoints = (
        Endpoint(name="universe", request=UniverseRequest, handler=choice.universe),
        Endpoint(name="choose", request=ChooseSymbolsRequest, handler=choice.choose),
    )
    follow = endless(partial(universes.follow, decisions.take_universe))
    if settings.symbols_file is None or listed is None:
        return endpoints, (follow,)
    file = SymbolsFile(settings.symbols_file, listed)
    return endpoints, (follow, endless(partial(choice.follow, file)))


def _checking(
    connection: Connection,
    publisher: Publisher,
    decisions: Decisions,
    registry: RegistryMirror,
    view: RunView,
) -> tuple[DriftWatch, tuple[Endpoint, ...]]:
    """And what it answers."""
    drift = DriftWatch(
        decisions=decisions,
        models=registry.models,
        gauge=Trainers(connection),
        scorecards=Scorecards(connection),
        reports=Reports(connection),
        attempts=view,
        requests=TrainingRequests(publisher),
        outlet=publisher,
        clock=utc_now,
    )
    return drift, (
        Endpoint(name="drift", request=DriftReportRequest, handler=drift.report),
        Endpoint(name="check_drift", request=CheckDriftRequest, handler=drift.check),
    )


async def _ticking(
    settings: Settings,
    connection: Connection,
    publisher: Publisher,
    decisions: Decisions,
    configurations: StoredRecord[Configured],
    registry: RegistryMirror,
    drift: DriftWatch,
) -> tuple[Worker, ...]:
    """Put the schedules in force and act on what is due; what takes ticks from then on."""
    requests, predictors = TrainingRequests(publisher), Predictors(connection)
    actions = {str(mode): training(mode, requests) for mode in Mode}
    actions[PREGENERATION] = pregenerating(predictors, settings.pregenerate_ttl_hours)
    actions[CLEANUP] = cleaning_up(StoredArtifacts(connection))
    ledger = TickLedger(connection)
    ticks = Ticks(ledger, actions, utc_now)
    # A look at every symbol takes minutes, in which no other tick should have to wait.
    drift_ticks = Ticks(ledger, {DRIFT: drift.on_due}, utc_now)

    async def put_in_force() -> None:
        wanted = schedules(decisions.configured, settings.intervals)
        in_force = await install(connection, wanted, names=(*actions, DRIFT))
        ticks.obey(in_force)
        drift_ticks.obey(in_force)

    async def follow_configuration() -> None:
        await automation.keep_schedules(configurations.changes(), decisions, put_in_force)

    async def take_drift_ticks(stop: asyncio.Event) -> None:
        await registry.complete.wait()
        await drift_ticks.review()
        work = intake.ticks("drift-ticks", drift_ticks.on_tick, (DRIFT,))
        await consume(connection, publisher, work, stop)

    await put_in_force()
    await ticks.review()
    take = partial(consume, connection, publisher)
    regeneration = Regeneration(predictors, utc_now)
    return (
        endless(follow_configuration),
        partial(take, intake.ticks("training-ticks", ticks.on_tick, actions)),
        take_drift_ticks,
        partial(take, intake.ended_runs(regeneration.on_event)),
    )


async def _train_what_has_no_model(
    universe: Universe, registry: RegistryMirror, view: RunView, publisher: Publisher
) -> None:
    """Unless a run is there already, which a restart finds."""
    missing = tuple(symbol for symbol in universe.symbols if symbol not in registry.models)
    if missing and not await view.unfinished():
        name = f"first-{uuid.uuid4().hex[:8]}"
        first = TrainRequest(symbols=missing, source=Source.AUTOMATION, request_id=name)
        await TrainingRequests(publisher).request(Mode.QUICK, first)


async def _newest_candle(store: CandleStore) -> int | None:
    """The open time in ms of the newest candle of any series, where a replay goes on."""
    series = await store.summaries(now_ms=0)
    return max((to_ms(one.last) for one in series if one.last is not None), default=None)


if __name__ == "__main__":
    run("scheduler", main)
