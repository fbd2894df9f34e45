"""`/predictions`: from the gateway's own copy, as ready bytes."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from services.gateway.app.addresses import SymbolInPath
from services.gateway.app.answers import json_response, known_tags, tagged_response
from services.gateway.app.context import Context, Given
from services.gateway.app.openapi import answers
from services.gateway.domain import ranking
from services.gateway.domain.copies import Held, answer, at_horizon, expired
from services.gateway.domain.ranking import Sort
from services.gateway.domain.readiness import PREDICTIONS
from shared.contracts.errors import Unavailable, UnknownHorizon
from shared.contracts.records import Prediction, Ranked
from shared.contracts.symbols import Symbol

_AWAY = "NATS is out of reach"
_SILENT = "the predictor does not answer"

Horizon = Annotated[int | None, Query(ge=1, le=500, description="candles ahead")]


def routes(context: Context) -> APIRouter:
    router = APIRouter(tags=["predictions"])

    @router.get(
        "/predictions/top", responses=answers(list[Ranked], "unknown_horizon", "unavailable")
    )
    async def top(
        n: Annotated[int, Query(ge=1, le=1000)] = 20,
        horizon: Horizon = None,
        sort: Sort = "confidence",
    ) -> Response:
        """The symbols with the best forecasts, best first."""
        universe = context.copies.universe
        if horizon is not None and universe is not None and horizon not in universe.horizons:
            known = ", ".join(map(str, universe.horizons))
            raise UnknownHorizon(f"nothing is forecast {horizon} candles ahead; there are {known}")
        context.readiness.check(PREDICTIONS)
        now = context.clock()
        away = not context.colleagues.reachable
        predictions = (held.prediction for held in context.copies.served())
        ranked = ranking.top(predictions, n=n, horizon=horizon, sort=sort, now=now, away=away)
        return json_response(ranked)

    @router.get(
        "/predictions/{symbol:symbol}",
        responses=answers(
            Prediction,
            "unknown_symbol",
            "unknown_horizon",
            "invalid_symbol",
            "no_model",
            "unavailable",
        ),
    )
    async def prediction(
        request: Request, symbol: SymbolInPath, horizon: Horizon = None
    ) -> Response:
        """The newest prediction; `stale` says that a newer one could not be had."""
        asked = Symbol.from_path(symbol)
        context.copies.check_symbol(asked)
        held, source = await _newest(context, asked)
        context.given[Given(source, held.prediction.stale)] += 1
        known = known_tags(request.headers.get("if-none-match", ""))
        if horizon is None:
            return tagged_response(known, held.answer)
        return tagged_response(known, answer(at_horizon(held.prediction, horizon)))

    return router


async def _newest(context: Context, symbol: Symbol) -> tuple[Held, str]:
    """The copy while it is fresh and of the live model; else what the predictor says; else the
    copy, marked as stale. And where that came from.

    Raises:
        Unavailable: there is no copy, and nobody to ask.
        NotReady: there is no model yet.
    """
    predictions = context.copies.predictions
    held = predictions.get(symbol)
    if held is not None:
        if not context.colleagues.reachable:
            return predictions.get_stale(symbol, _AWAY) or held, "copy"
        if not (held.outdated or expired(held.prediction, context.clock())):
            return held, "copy"
    try:
        fresh = await context.colleagues.prediction(symbol)
    except Unavailable:
        stale = predictions.get_stale(symbol, _SILENT)
        if stale is None:
            raise
        return stale, "copy"
    shown = predictions.beside_live(fresh)
    return Held(shown, answer(shown)), fresh.cache
