"""`/signals`, and what is traded with them on paper. Money is whole cents of the quote currency."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from services.gateway.app.addresses import Before, Limit, SymbolInQuery
from services.gateway.app.answers import json_response, page
from services.gateway.app.context import Context
from services.gateway.app.openapi import answers
from services.gateway.domain.signals import SignalView, view
from shared.contracts.errors import NotFound
from shared.contracts.requests import ProfitRequest, RejectionsRequest, SignalsRequest
from shared.contracts.symbols import Symbol
from shared.contracts.trading import (
    ExposureReport,
    FilterName,
    ProfitReport,
    Rejection,
    SignalStatus,
)


def routes(context: Context) -> APIRouter:
    router = APIRouter(tags=["trading"])

    @router.get("/signals", responses=answers(list[SignalView], "invalid_symbol", "unavailable"))
    async def signals(
        request: Request,
        symbol: SymbolInQuery = None,
        status: SignalStatus | None = None,
        limit: Limit = 100,
        before: Before = None,
    ) -> Response:
        """Signals, open and past, newest first."""
        found = await context.colleagues.signals(
            SignalsRequest(symbol=_named(symbol), status=status, limit=limit, before=before)
        )
        cursor = found[-1].id if found else None
        return page(request, [view(signal) for signal in found], limit=limit, cursor=cursor)

    @router.get("/signals/{signal_id}", responses=answers(SignalView, "not_found", "unavailable"))
    async def signal(signal_id: str) -> Response:
        """One signal, and what became of it."""
        found = await context.colleagues.signals(SignalsRequest(id=signal_id[:200]))
        if not found:
            raise NotFound(f"there is no signal {signal_id[:80]!r}; GET /api/v1/signals lists them")
        return json_response(view(found[0]))

    @router.get(
        "/system/rejected-signals",
        responses=answers(list[Rejection], "invalid_symbol", "unavailable"),
    )
    async def rejected(
        request: Request,
        hours: Annotated[float, Query(gt=0, le=720, description="how far back")] = 24.0,
        symbol: SymbolInQuery = None,
        reason: FilterName | None = None,
        limit: Limit = 100,
        before: Before = None,
    ) -> Response:
        """Predictions that became no signal, newest first, with the result of every filter."""
        found = await context.colleagues.rejected(
            RejectionsRequest(
                hours=hours, symbol=_named(symbol), reason=reason, limit=limit, before=before
            )
        )
        return page(request, found, limit=limit, cursor=found[-1].id if found else None)

    @router.get("/system/pnl", responses=answers(ProfitReport, "unavailable"))
    async def pnl(
        days: Annotated[int | None, Query(ge=1, le=3650, description="of all time if left out")] = (
            None
        ),
    ) -> Response:
        """What the signals would have earned after all costs: realised and unrealised, by symbol
        and by day.
        """
        return json_response(await context.colleagues.profit(ProfitRequest(days=days)))

    @router.get("/system/exposure", responses=answers(ExposureReport, "unavailable"))
    async def exposure() -> Response:
        """What is open, by symbol and side, against what may be."""
        return json_response(await context.colleagues.exposure())

    return router


def _named(symbol: str | None) -> Symbol | None:
    return Symbol.from_path(symbol) if symbol is not None else None
