"""`/models`: what is live, and what was."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from services.gateway.app.answers import json_response, page
from services.gateway.app.context import Context
from services.gateway.app.openapi import answers
from services.gateway.domain.models import ModelPage, ModelView, page_of, view
from shared.contracts.errors import NotReady
from shared.contracts.symbols import Symbol


def routes(context: Context) -> APIRouter:
    router = APIRouter(tags=["registry"])

    @router.get("/models", responses=answers(list[ModelView]))
    async def models(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: Annotated[str | None, Query(description="the cursor in `Link`")] = None,
    ) -> Response:
        """The live models, newest first."""
        now = context.clock()
        records = context.copies.models.newest_first()
        if before is not None:
            behind = [n for n, record in enumerate(records, 1) if record.version == before]
            records = records[behind[0] :] if behind else []
        found = records[:limit]
        cursor = found[-1].version if len(records) > limit else None
        return page(request, [view(r, now) for r in found], limit=limit, cursor=cursor)

    @router.get(
        "/models/{symbol:path}",
        responses=answers(ModelPage, "unknown_symbol", "invalid_symbol", "no_model"),
    )
    async def model(symbol: str) -> Response:
        """The live model of one symbol, and those that were live before it."""
        asked = Symbol.from_path(symbol)
        context.copies.check_symbol(asked)
        record = context.copies.models.get(asked)
        if record is None:
            raise NotReady(f"there is no model of {asked} yet; a training run makes one")
        kept = await context.colleagues.promotions(asked) if context.colleagues.reachable else []
        return json_response(page_of(record, kept, context.clock()))

    return router
