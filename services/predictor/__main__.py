"""The predictor: the newest defensible prediction of every symbol, computed before it is asked for.

It holds no learning library: models come as packed tables that numpy evaluates.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from services.predictor.adapters import rejections, trades
from services.predictor.adapters.announcements import Announcements
from services.predictor.adapters.artifacts import CachedArtifacts
from services.predictor.adapters.copies import follow_stream
from services.predictor.adapters.disk import NoDisk, PredictionFile
from services.predictor.adapters.ledger import KvLedger, follow_open_signals
from services.predictor.adapters.models import ModelCache
from services.predictor.adapters.news import (
    candle_news,
    follow_candles,
    follow_configuration,
    follow_models,
    follow_parameters,
    follow_universe,
)
from services.predictor.adapters.openings import KvOpenings
from services.predictor.adapters.predictions import KvPredictions
from services.predictor.adapters.rejections import RejectionCopy
from services.predictor.adapters.trades import SignalCopy
from services.predictor.domain.desks import Desks
from services.predictor.handlers.books import Books
from services.predictor.handlers.cache import Cache
from services.predictor.handlers.forecaster import Forecaster
from services.predictor.handlers.ledger import Ledger
from services.predictor.handlers.outcomes import NotedPredictions
from services.predictor.handlers.outlooks import Outlooks
from services.predictor.handlers.predictor import Predictor
from services.predictor.handlers.pregeneration import Pregenerator
from services.predictor.handlers.trader import Trader
from services.predictor.settings import Settings
from shared.bus import rpc, topology
from shared.bus.connection import Connection, connected
from shared.bus.consumer import Delivery, Work, consume
from shared.bus.kv import Bucket
from shared.bus.objects import Artifacts
from shared.bus.publisher import Publisher
from shared.bus.quality import Scorecards
from shared.bus.survey import Reporter
from shared.contracts import subjects
from shared.contracts.requests import (
    CacheRequest,
    ClearCacheRequest,
    ExposureRequest,
    PredictRequest,
    PregenerateRequest,
    ProfitRequest,
    RejectionsRequest,
    SignalsRequest,
    TopRequest,
)
from shared.market.store import CandleStore
from shared.runtime.clock import utc_now
from shared.runtime.service import run
from shared.runtime.settings import Environment
from shared.runtime.tasks import Worker, endless, supervise
from shared.runtime.version import VERSION
from shared.storage.sqlite import open_view

log = logging.getLogger(__name__)


async def main(env: Environment) -> None:
    settings = Settings.read(env)
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(connected(settings.nats, name="predictor"))
        await topology.ensure(connection)
        publisher = Publisher(connection)
        candles = CandleStore(Bucket(connection, subjects.CANDLES))
        predictions = KvPredictions(
            Bucket(connection, subjects.PREDICTIONS),
            Bucket(connection, subjects.MODELS),
            publisher,
            clock=utc_now,
        )
        artifacts = CachedArtifacts(Artifacts(connection), settings.data_dir / "artifacts")
        views = settings.data_dir / "predictor"
        disk = await _disk(stack, views) if settings.caching else NoDisk()
        desks, forecaster = Desks(), Forecaster(ModelCache(artifacts), candles, ttl=settings.ttl)
        noted = NotedPredictions(predictions, Scorecards(connection), candles)
        predictor = Predictor(
            desks, forecaster, noted, disk, clock=utc_now, caching=settings.caching
        )
        outlooks = Outlooks(desks, predictor, clock=utc_now)
        ledger = Ledger(KvLedger(connection, publisher, clock=utc_now), candles)

        # Candles are listened for before anything is computed, so that none falls in between.
        arrived = await stack.enter_async_context(candle_news(connection))
        stack.enter_context(connection.on_reconnect(predictor.on_reconnect))
        hearing, known = _hearing(connection, arrived, predictions, predictor, outlooks, ledger)
        books, bookkeeping, copying = await _books(stack, connection, views, ledger)
        trading = _trading(connection, publisher, outlooks, books, known)
        reporter = Reporter(
            "predictor",
            VERSION,
            problems=lambda: cache.problems() + predictor.problems() + ledger.problems(),
            figures=lambda: cache.figures() | {"models_loaded": float(forecaster.models_loaded)},
        )
        cache, serving = _serving(
            settings, desks, predictor, predictions, disk, instance=reporter.instance
        )

        async def answer(stop: asyncio.Event) -> None:
            """Only once everything is known, so that a start never makes a symbol unknown."""
            for each in known:
                await each.wait()
            reporter.ready = True
            log.info("ready", extra={"ttl_hours": settings.ttl.total_seconds() / 3600})
            await rpc.serve(connection, "predictor", VERSION, (*serving, *bookkeeping), stop)

        await supervise(
            connection.stay_open,
            partial(reporter.report_itself, connection),
            *hearing,
            *copying,
            endless(predictor.run),
            endless(ledger.run),
            answer,
            *trading,
            grace=5,
        )


async def _disk(stack: AsyncExitStack, views: Path) -> PredictionFile:
    file = PredictionFile(views / "predictions.sqlite", clock=utc_now)
    return await stack.enter_async_context(file)


def _hearing(
    connection: Connection,
    arrived: asyncio.Queue[bytes],
    predictions: KvPredictions,
    predictor: Predictor,
    outlooks: Outlooks,
    ledger: Ledger,
) -> tuple[tuple[Worker, ...], tuple[asyncio.Event, ...]]:
    """And what is set once everything is known that there was before."""
    models_known, universe_known, told_known = known = tuple(asyncio.Event() for _ in range(3))
    universe_listeners = (predictor.on_universe, outlooks.on_universe, ledger.on_universe)
    follow_everything = (
        partial(
            follow_models,
            Bucket(connection, subjects.MODELS),
            promoted=predictor.on_model,
            removed=predictor.on_model_removed,
            caught_up=models_known,
        ),
        partial(
            follow_universe,
            Bucket(connection, subjects.CONFIG),
            *universe_listeners,
            caught_up=universe_known,
        ),
        partial(
            predictions.follow,
            told=predictor.on_told,
            removed=predictor.on_forgotten,
            caught_up=told_known,
        ),
        partial(follow_candles, arrived, predictor.on_candles, ledger.on_candles),
        partial(
            follow_open_signals,
            Bucket(connection, subjects.SIGNALS),
            opened=ledger.on_opened,
            gone=ledger.on_gone,
            caught_up=ledger.complete,
        ),
    )
    return tuple(map(endless, follow_everything)), known


def _serving(
    settings: Settings,
    desks: Desks,
    predictor: Predictor,
    predictions: KvPredictions,
    disk: PredictionFile | NoDisk,
    *,
    instance: str,
) -> tuple[Cache, tuple[rpc.Endpoint, ...]]:
    pregenerator = Pregenerator(desks, predictor, usual_ttl=settings.ttl, clock=utc_now)
    cache = Cache(
        desks,
        predictor,
        pregenerator,
        predictions,
        disk,
        instance=instance,
        enabled=settings.caching,
        ttl=settings.ttl,
        clock=utc_now,
    )
    return cache, (
        rpc.Endpoint(name="get", request=PredictRequest, handler=predictor.reply),
        rpc.Endpoint(name="top", request=TopRequest, handler=predictor.top),
        rpc.Endpoint(
            name="pregenerate", request=PregenerateRequest, handler=pregenerator.pregenerate
        ),
        rpc.Endpoint(name="cache", request=CacheRequest, handler=cache.report),
        rpc.Endpoint(name="clear", request=ClearCacheRequest, handler=cache.clear),
    )


async def _books(
    stack: AsyncExitStack, connection: Connection, views: Path, ledger: Ledger
) -> tuple[Books, tuple[rpc.Endpoint, ...], tuple[Worker, ...]]:
    """And what keeps them up to date."""
    signals = SignalCopy(
        await stack.enter_async_context(open_view(views / "signals.sqlite", trades.SCHEMA)),
        clock=utc_now,
    )
    rejected = RejectionCopy(
        await stack.enter_async_context(open_view(views / "rejections.sqlite", rejections.SCHEMA)),
        clock=utc_now,
    )
    books = Books(signals=signals, rejections=rejected, ledger=ledger, clock=utc_now)
    endpoints = (
        rpc.Endpoint(name="signals", request=SignalsRequest, handler=books.signals),
        rpc.Endpoint(name="rejected", request=RejectionsRequest, handler=books.rejected),
        rpc.Endpoint(name="pnl", request=ProfitRequest, handler=books.pnl),
        rpc.Endpoint(name="exposure", request=ExposureRequest, handler=books.exposure),
    )
    stream = Bucket(connection, subjects.SIGNALS).stream
    return (
        books,
        endpoints,
        (
            endless(partial(follow_stream, connection, stream, signals)),
            endless(partial(follow_stream, connection, subjects.REJECTIONS, rejected)),
        ),
    )


def _trading(
    connection: Connection,
    publisher: Publisher,
    outlooks: Outlooks,
    books: Books,
    known: Iterable[asyncio.Event],
) -> tuple[Worker, ...]:
    """Ticks are taken only once everything is known, and not judged by defaults before that."""
    trader = Trader(
        outlooks,
        KvOpenings(Bucket(connection, subjects.SIGNALS)),
        Announcements(connection, publisher),
        clock=utc_now,
    )
    config = Bucket(connection, subjects.CONFIG)
    parameters = Bucket(connection, subjects.PARAMETERS)
    rules_known, parameters_known = asyncio.Event(), asyncio.Event()

    async def hear_of_the_rules() -> None:
        listeners = (books.on_configuration, trader.on_configuration)
        await follow_configuration(config, *listeners, caught_up=rules_known)

    async def hear_of_parameters() -> None:
        await follow_parameters(
            parameters,
            evolved=trader.on_parameters,
            removed=trader.on_parameters_removed,
            caught_up=parameters_known,
        )

    async def trade(stop: asyncio.Event) -> None:
        for each in (*known, rules_known, parameters_known):
            await each.wait()
        await consume(connection, publisher, _signal_ticks(trader), stop)

    return endless(hear_of_the_rules), endless(hear_of_parameters), trade


def _signal_ticks(trader: Trader) -> Work:
    async def on_tick(delivery: Delivery) -> None:
        await trader.on_tick()

    return Work(
        stream=subjects.CLOCK,
        durable="signal-ticks",
        filters=(subjects.tick(subjects.SIGNAL_TICK),),
        handler=on_tick,
        in_flight=1,
        ack_wait=8.0,
    )


if __name__ == "__main__":
    run("predictor", main)
