"""`/predictions/cache` and `/predictions/pregenerate`: the predictors' cache."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Request, Response
from msgspec import Meta

from services.gateway.app import bodies
from services.gateway.app.answers import json_response
from services.gateway.app.context import Context
from services.gateway.app.openapi import READS, answers, body
from shared.contracts.records import CacheReport, Cleared, Pregenerated
from shared.contracts.requests import ClearCacheRequest, PregenerateRequest
from shared.contracts.symbols import Symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionsWanted:
    """Of these symbols, or of all; they live for `ttl_hours`, or as long as usual."""

    symbols: tuple[Symbol, ...] | None = None
    ttl_hours: Annotated[float, Meta(gt=0, le=168)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheClearance:
    """Of these symbols, or of all."""

    symbols: tuple[Symbol, ...] | None = None


def routes(context: Context) -> APIRouter:
    router = APIRouter(tags=["predictions"])

    @router.get("/predictions/cache", responses=answers(CacheReport, "unavailable"))
    async def report() -> Response:
        """What is cached, in memory and on disk, and how well that serves."""
        return json_response(await context.colleagues.cache())

    @router.post(
        "/predictions/pregenerate",
        responses=answers(
            Pregenerated,
            *READS,
            "invalid_symbol",
            "unknown_symbol",
            "unavailable",
        ),
        openapi_extra=body(PredictionsWanted, example={"symbols": ["BTC/USDT"], "ttl_hours": 24}),
    )
    async def pregenerate(request: Request) -> Response:
        """Compute predictions before anyone asks; answers when that is done. Those of hundreds of
        symbols take seconds, and reads go on meanwhile.
        """
        wanted = await bodies.read(request, PredictionsWanted)
        _check_symbols(context, wanted.symbols)
        made = await context.colleagues.pregenerate(
            PregenerateRequest(symbols=wanted.symbols, ttl_hours=wanted.ttl_hours)
        )
        return json_response(made)

    @router.delete(
        "/predictions/cache",
        responses=answers(
            Cleared,
            *READS,
            "invalid_symbol",
            "unknown_symbol",
            "unavailable",
        ),
        openapi_extra=body(CacheClearance, example={"symbols": ["BTC/USDT"]}),
    )
    async def clear(request: Request) -> Response:
        """Forget what is cached; it is computed anew."""
        wanted = await bodies.read(request, CacheClearance)
        _check_symbols(context, wanted.symbols)
        return json_response(
            await context.colleagues.clear_cache(ClearCacheRequest(symbols=wanted.symbols))
        )

    return router


def _check_symbols(context: Context, symbols: tuple[Symbol, ...] | None) -> None:
    for symbol in symbols or ():
        context.copies.check_symbol(symbol)
