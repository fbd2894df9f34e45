"""The predictor: the newest defensible prediction of every symbol, computed before it is asked for.

It holds no learning library: models come as packed tables that numpy evaluates.
"""

import asyncio
import logging
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from services.predictor.adapters import rejections, trades
from services.predictor.adapters.artifacts import CachedArtifacts
from services.predictor.adapters.copies import follow_stream
from services.predictor.adapters.ledger import KvLedger, follow_open_signals
from services.predictor.adapters.models import ModelCache
from services.predictor.adapters.news import (
    candle_news,
    follow_candles,
    follow_configuration,
    follow_models,
    follow_universe,
)
from services.predictor.adapters.predictions import KvPredictions
from services.predictor.adapters.rejections import RejectionCopy
from services.predictor.adapters.trades import SignalCopy
from services.predictor.handlers.books import Books
from services.predictor.handlers.forecaster import Forecaster
from services.predictor.handlers.ledger import Ledger
from services.predictor.handlers.outcomes import NotedPredictions
from services.predictor.handlers.predictor import Predictor
from services.predictor.settings import Settings
from shared.bus import rpc, topology
from shared.bus.connection import Connection, connected
from shared.bus.kv import Bucket
from shared.bus.objects import Artifacts
from shared.bus.publisher import Publisher
from shared.bus.quality import Scorecards
from shared.bus.survey import Reporter
from shared.contracts import subjects
from shared.contracts.requests import (
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
        registry = Bucket(connection, subjects.MODELS)
        publisher = Publisher(connection)
        candles = CandleStore(Bucket(connection, subjects.CANDLES))
        predictions = KvPredictions(
            Bucket(connection, subjects.PREDICTIONS),
            registry,
            publisher,
            clock=utc_now,
        )
        artifacts = CachedArtifacts(Artifacts(connection), settings.data_dir / "artifacts")
        predictor = Predictor(
            Forecaster(
                ModelCache(artifacts),
                candles,
                ttl=settings.ttl,
            ),
            NotedPredictions(predictions, Scorecards(connection), candles),
            clock=utc_now,
            caching=settings.caching,
        )
        for prediction in await predictions.stored():
            predictor.remember(prediction)

        ledger = Ledger(KvLedger(connection, publisher, clock=utc_now), candles)
        views = settings.data_dir / "predictor"
        books, copying = await _books(stack, connection, views, ledger)

        # Candles are listened for before anything is computed, so that none falls in between.
        arrived = await stack.enter_async_context(candle_news(connection))
        stack.enter_context(connection.on_reconnect(predictor.on_reconnect))
        reporter = Reporter(
            "predictor", VERSION, problems=predictor.problems, figures=predictor.figures
        )
        models_known, universe_known = asyncio.Event(), asyncio.Event()
        endpoints = (
            rpc.Endpoint(name="get", request=PredictRequest, handler=predictor.get),
            rpc.Endpoint(name="top", request=TopRequest, handler=predictor.top),
            rpc.Endpoint(
                name="pregenerate", request=PregenerateRequest, handler=predictor.pregenerate
            ),
            *_bookkeeping(books),
        )

        async def hear_of_models() -> None:
            await follow_models(
                registry,
                promoted=predictor.on_model,
                removed=predictor.on_model_removed,
                caught_up=models_known,
            )

        async def hear_of_the_universe() -> None:
            config = Bucket(connection, subjects.CONFIG)
            await follow_universe(config, changed=predictor.on_universe, caught_up=universe_known)

        async def hear_of_candles() -> None:
            await follow_candles(arrived, predictor.on_candles, ledger.on_candles)

        async def answer(stop: asyncio.Event) -> None:
            """Only once everything is known, so that a start never makes a symbol unknown."""
            await models_known.wait()
            await universe_known.wait()
            reporter.ready = True
            log.info("ready", extra={"ttl_hours": settings.ttl.total_seconds() / 3600})
            await rpc.serve(connection, "predictor", VERSION, endpoints, stop)

        await supervise(
            connection.stay_open,
            partial(reporter.report_itself, connection),
            endless(hear_of_models),
            endless(hear_of_the_universe),
            endless(hear_of_candles),
            *copying,
            *_hearing(connection, books, ledger),
            endless(predictor.run),
            endless(ledger.run),
            answer,
            grace=5,
        )


async def _books(
    stack: AsyncExitStack, connection: Connection, views: Path, ledger: Ledger
) -> tuple[Books, tuple[Worker, ...]]:
    """And what keeps them up to date."""
    signals = SignalCopy(
        await stack.enter_async_context(open_view(views / "signals.sqlite", trades.SCHEMA)),
        clock=utc_now,
    )
    rejected = RejectionCopy(
        await stack.enter_async_context(open_view(views / "rejections.sqlite", rejections.SCHEMA)),
        clock=utc_now,
    )
    stream = Bucket(connection, subjects.SIGNALS).stream
    return Books(signals=signals, rejections=rejected, ledger=ledger, clock=utc_now), (
        endless(partial(follow_stream, connection, stream, signals)),
        endless(partial(follow_stream, connection, subjects.REJECTIONS, rejected)),
    )


def _bookkeeping(books: Books) -> tuple[rpc.Endpoint, ...]:
    return (
        rpc.Endpoint(name="signals", request=SignalsRequest, handler=books.signals),
        rpc.Endpoint(name="rejected", request=RejectionsRequest, handler=books.rejected),
        rpc.Endpoint(name="pnl", request=ProfitRequest, handler=books.pnl),
        rpc.Endpoint(name="exposure", request=ExposureRequest, handler=books.exposure),
    )


def _hearing(connection: Connection, books: Books, ledger: Ledger) -> tuple[Worker, ...]:
    config = Bucket(connection, subjects.CONFIG)
    signals = Bucket(connection, subjects.SIGNALS)

    async def hear_of_the_configuration() -> None:
        known = asyncio.Event()
        await follow_configuration(config, changed=books.on_configuration, caught_up=known)

    async def hear_of_signals() -> None:
        await follow_open_signals(
            signals, opened=ledger.on_opened, gone=ledger.on_gone, caught_up=ledger.complete
        )

    return endless(hear_of_the_configuration), endless(hear_of_signals)


if __name__ == "__main__":
    run("predictor", main)
