"""The predictor: the newest defensible prediction of every symbol, computed before it is asked for.

It holds no learning library: models come as packed tables that numpy evaluates.
"""

import asyncio
import logging
from contextlib import AsyncExitStack
from functools import partial

from services.predictor.adapters.artifacts import CachedArtifacts
from services.predictor.adapters.models import ModelCache
from services.predictor.adapters.news import (
    candle_news,
    follow_candles,
    follow_models,
    follow_universe,
)
from services.predictor.adapters.predictions import KvPredictions
from services.predictor.handlers.forecaster import Forecaster
from services.predictor.handlers.predictor import Predictor
from services.predictor.settings import Settings
from shared.bus import rpc, topology
from shared.bus.connection import connected
from shared.bus.kv import Bucket
from shared.bus.objects import Artifacts
from shared.bus.publisher import Publisher
from shared.bus.survey import Reporter
from shared.contracts import subjects
from shared.contracts.requests import PredictRequest, PregenerateRequest, TopRequest
from shared.market.store import CandleStore
from shared.runtime.clock import utc_now
from shared.runtime.service import run
from shared.runtime.settings import Environment
from shared.runtime.tasks import endless, supervise
from shared.runtime.version import VERSION

log = logging.getLogger(__name__)


async def main(env: Environment) -> None:
    settings = Settings.read(env)
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(connected(settings.nats, name="predictor"))
        await topology.ensure(connection)
        registry = Bucket(connection, subjects.MODELS)
        predictions = KvPredictions(
            Bucket(connection, subjects.PREDICTIONS),
            registry,
            Publisher(connection),
            clock=utc_now,
        )
        artifacts = CachedArtifacts(Artifacts(connection), settings.data_dir / "artifacts")
        predictor = Predictor(
            Forecaster(
                ModelCache(artifacts),
                CandleStore(Bucket(connection, subjects.CANDLES)),
                ttl=settings.ttl,
            ),
            predictions,
            clock=utc_now,
            caching=settings.caching,
        )
        for prediction in await predictions.stored():
            predictor.remember(prediction)

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
            await follow_candles(arrived, updated=predictor.on_candles)

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
            endless(predictor.run),
            answer,
            grace=5,
        )


if __name__ == "__main__":
    run("predictor", main)
