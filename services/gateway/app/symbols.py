"""`/symbols`: what is trained and predicted."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from services.gateway.app import bodies
from services.gateway.app.answers import json_response, known_tags, tagged_response
from services.gateway.app.bodies import IfMatch
from services.gateway.app.context import Context
from services.gateway.app.openapi import READS, answers, body
from services.gateway.domain.copies import Answer
from services.gateway.domain.preconditions import etag, expected_revision
from shared.contracts import codec
from shared.contracts.errors import Unavailable
from shared.contracts.records import Universe
from shared.contracts.requests import ChooseSymbolsRequest
from shared.contracts.symbols import Symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolsChoice:
    """All of them: those that are left out are removed."""

    symbols: tuple[Symbol, ...]


def routes(context: Context) -> APIRouter:
    router = APIRouter(tags=["registry"])

    @router.get("/symbols", responses=answers(Universe, "unavailable"))
    async def symbols(request: Request) -> Response:
        """What is trained and predicted. Its `ETag` is its revision."""
        universe = context.copies.universe
        if universe is None:
            raise Unavailable("the symbols are not known yet: is the scheduler running?")
        tag = etag(universe.revision).encode()
        return tagged_response(
            known_tags(request.headers.get("if-none-match", "")),
            Answer(codec.encode(universe), tag),
        )

    @router.put(
        "/symbols",
        responses=answers(
            Universe,
            *READS,
            "invalid_symbol",
            "invalid_setting",
            "precondition_failed",
            "precondition_required",
            "unavailable",
        ),
        openapi_extra=body(SymbolsChoice, example={"symbols": ["BTC/USDT", "ETH/USDT"]}),
    )
    async def choose(request: Request, if_match: IfMatch = None) -> Response:
        """Choose the symbols, effective at once. `If-Match` names the revision that was read.

        A symbol that is removed is trained and served no more. Its candles and models stay, so that
        it is back at once when it is added again. The choice stands until the list in the settings
        (`SYMBOLS` or `SYMBOLS_FILE`) changes.
        """
        wanted = await bodies.read(request, SymbolsChoice)
        revision = expected_revision(if_match)
        universe = await context.colleagues.choose_symbols(
            ChooseSymbolsRequest(symbols=wanted.symbols, revision=revision)
        )
        context.copies.universe = universe
        return json_response(universe, headers={"etag": etag(universe.revision)})

    return router
