"""`/system/drift`: whether the market still is what the models have learned."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from services.gateway.app import bodies
from services.gateway.app.answers import json_response
from services.gateway.app.bodies import IdempotencyKey
from services.gateway.app.context import Context
from services.gateway.app.openapi import READS, answers, body
from shared.contracts.quality import DriftReport
from shared.contracts.requests import CheckDriftRequest
from shared.contracts.symbols import Symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftCheck:
    """Of these symbols, or of all."""

    symbols: tuple[Symbol, ...] | None = None


def routes(context: Context) -> APIRouter:
    router = APIRouter(tags=["system"])

    @router.get("/system/drift", responses=answers(DriftReport, "not_found", "unavailable"))
    async def newest() -> Response:
        """What the newest check has found."""
        return json_response(await context.colleagues.drift())

    @router.post(
        "/system/drift/check",
        responses=answers(
            DriftReport,
            *READS,
            "invalid_symbol",
            "unknown_symbol",
            "unavailable",
        ),
        openapi_extra=body(DriftCheck, example={"symbols": ["BTC/USDT"]}),
    )
    async def check(
        request: Request,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Look now, and answer when everything was looked at. A symbol that has drifted is trained,
        unless that was tried lately. The same `Idempotency-Key` is the same check.
        """
        wanted = await bodies.read(request, DriftCheck)
        for symbol in wanted.symbols or ():
            context.copies.check_symbol(symbol)
        report = await context.colleagues.check_drift(
            CheckDriftRequest(symbols=wanted.symbols), idempotency_key=idempotency_key
        )
        return json_response(report)

    return router
