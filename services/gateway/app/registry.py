"""`/models`: what is live, and what was."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Request, Response
from msgspec import Meta

from services.gateway.app import bodies
from services.gateway.app.addresses import Before, Limit, SymbolInPath
from services.gateway.app.answers import json_response, page
from services.gateway.app.bodies import IdempotencyKey
from services.gateway.app.context import Context
from services.gateway.app.openapi import READS, answers, body
from services.gateway.domain.models import ModelPage, ModelView, page_of, view
from services.gateway.domain.readiness import MODELS
from shared.contracts.errors import NotReady
from shared.contracts.quality import Scorecard
from shared.contracts.records import ModelRecord
from shared.contracts.requests import RollbackRequest
from shared.contracts.symbols import Symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackTarget:
    """Without a `version`, to the model before the live one."""

    version: Annotated[str, Meta(max_length=100)] | None = None


def routes(context: Context) -> APIRouter:
    router = APIRouter(tags=["registry"])

    @router.get("/models", responses=answers(list[ModelView], "unavailable"))
    async def models(
        request: Request,
        limit: Limit = 100,
        before: Before = None,
    ) -> Response:
        """The live models, newest first."""
        context.readiness.check(MODELS)
        now = context.clock()
        records = context.copies.models.newest_first()
        if before is not None:
            behind = [n for n, record in enumerate(records, 1) if record.version == before]
            records = records[behind[0] :] if behind else []
        found = records[:limit]
        cursor = found[-1].version if len(records) > limit else None
        return page(request, [view(r, now) for r in found], limit=limit, cursor=cursor)

    @router.get(
        "/models/{symbol:symbol}",
        responses=answers(ModelPage, "unknown_symbol", "invalid_symbol", "no_model", "unavailable"),
    )
    async def model(symbol: SymbolInPath) -> Response:
        """The live model of one symbol, and those that were live before it."""
        asked = Symbol.from_path(symbol)
        context.copies.check_symbol(asked)
        record = context.copies.models.get(asked)
        if record is None:
            context.readiness.check(MODELS)
            raise NotReady(f"there is no model of {asked} yet; a training run makes one")
        kept, scorecard = list[ModelRecord](), Scorecard(symbol=asked)
        if context.colleagues.reachable:
            kept = await context.colleagues.promotions(asked)
            scorecard = await context.colleagues.scorecard(asked)
        return json_response(page_of(record, kept, scorecard, context.clock()))

    @router.post(
        "/models/{symbol:path}/rollback",
        responses=answers(
            ModelView,
            *READS,
            "unknown_symbol",
            "invalid_symbol",
            "unknown_version",
            "no_earlier_model",
            "artifact_refused",
            "lease_taken",
            "unavailable",
        ),
        openapi_extra=body(RollbackTarget, example={"version": "20261120T120010-9f86d081"}),
    )
    async def roll_back(
        request: Request,
        symbol: SymbolInPath,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Let an earlier model live again, at once; a second time goes one further back.

        Predictions of the other model are stale from then on. It is no pin: the next training of
        the symbol starts from this model and is compared with it. The same `Idempotency-Key` rolls
        back once.
        """
        asked = Symbol.from_path(symbol)
        context.copies.check_symbol(asked)
        wanted = await bodies.read(request, RollbackTarget)
        record = await context.colleagues.roll_back(
            RollbackRequest(symbol=asked, version=wanted.version, by="api"),
            idempotency_key=idempotency_key,
        )
        return json_response(view(record, context.clock()))

    return router
