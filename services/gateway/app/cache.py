"""`/predictions/cache` and `/predictions/pregenerate`: the predictors' cache."""

from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import APIRouter, Request, Response
from msgspec import Meta

from services.gateway.app.answers import json_response
from services.gateway.app.context import Context
from services.gateway.app.openapi import answers, body
from shared.contracts import codec
from shared.contracts.errors import MalformedMessage
from shared.contracts.records import CacheReport, Cleared, Pregenerated
from shared.contracts.requests import ClearCacheRequest, PregenerateRequest
from shared.contracts.symbols import Symbol

T = TypeVar("T")


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
            "malformed_message",
            "invalid_symbol",
            "unknown_symbol",
            "body_too_large",
            "unavailable",
        ),
        openapi_extra=body(PredictionsWanted, example={"symbols": ["BTC/USDT"], "ttl_hours": 24}),
    )
    async def pregenerate(request: Request) -> Response:
        """Compute predictions before anyone asks; answers when that is done. Those of hundreds of
        symbols take seconds, and reads go on meanwhile.
        """
        wanted = await _wanted(request, PredictionsWanted)
        _check_symbols(context, wanted.symbols)
        made = await context.colleagues.pregenerate(
            PregenerateRequest(symbols=wanted.symbols, ttl_hours=wanted.ttl_hours)
        )
        return json_response(made)

    @router.delete(
        "/predictions/cache",
        responses=answers(
            Cleared,
            "malformed_message",
            "invalid_symbol",
            "unknown_symbol",
            "body_too_large",
            "unavailable",
        ),
        openapi_extra=body(CacheClearance, example={"symbols": ["BTC/USDT"]}),
    )
    async def clear(request: Request) -> Response:
        """Forget what is cached; it is computed anew."""
        wanted = await _wanted(request, CacheClearance)
        _check_symbols(context, wanted.symbols)
        return json_response(
            await context.colleagues.clear_cache(ClearCacheRequest(symbols=wanted.symbols))
        )

    return router


async def _wanted(request: Request, kind: type[T]) -> T:
    """What the body asks for. Symbols in the address are refused: passed over, they would stand for
    all of them.
    """
    if request.url.query:
        raise MalformedMessage("say what you want in the body, as /docs shows, not in the address")
    return codec.decode(await request.body(), kind)


def _check_symbols(context: Context, symbols: tuple[Symbol, ...] | None) -> None:
    for symbol in symbols or ():
        context.copies.check_symbol(symbol)
