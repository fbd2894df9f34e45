"""`/system`, and whether we live, are ready, and how busy we are."""

from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from services.gateway.app.addresses import Before, Limit
from services.gateway.app.answers import json_response, page
from services.gateway.app.context import Context
from services.gateway.app.openapi import answers
from shared.contracts.errors import Unavailable
from shared.contracts.records import CandleSummary
from shared.contracts.reports import SystemStatus


def routes(context: Context) -> APIRouter:
    router = APIRouter(tags=["system"])

    @router.get("/system/status", responses=answers(SystemStatus, "unavailable"))
    async def status() -> Response:
        """Services, NATS, machine, queues, lock, coverage and health, at most seconds old."""
        if context.system.status is None:
            raise Unavailable("the first look at the system is not finished; try again in a moment")
        return json_response(context.system.status)

    @router.get("/system/candles", responses=answers(list[CandleSummary], "unavailable"))
    async def candles(request: Request, limit: Limit = 100, before: Before = None) -> Response:
        """Every series in the candle store, by name."""
        known = sorted(await context.colleagues.candles(), key=_name)
        behind = [series for series in known if before is None or _name(series) > before]
        found = behind[:limit]
        cursor = _name(found[-1]) if len(behind) > limit else None
        return page(request, found, limit=limit, cursor=cursor)

    return router


def _name(series: CandleSummary) -> str:
    return f"{series.symbol} {series.timeframe}"


def probes(context: Context, metrics: Callable[[], tuple[bytes, str]]) -> APIRouter:
    router = APIRouter(tags=["probes"])

    @router.get("/healthz")
    async def healthz() -> Response:
        """This process lives. It says nothing about the others."""
        return json_response({"status": "ok"})

    @router.get("/readyz")
    async def readyz() -> Response:
        """Whether everything that may be asked for is known here; if not, what is missing."""
        context.readiness.check()
        return json_response({"status": "ready"})

    @router.get("/metrics", response_class=PlainTextResponse)
    async def prometheus() -> Response:
        """For Prometheus."""
        body, media_type = metrics()
        return Response(body, media_type=media_type, headers={"cache-control": "no-store"})

    return router
