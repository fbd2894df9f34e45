"""`/auto-train`: how training stands, and asking for more."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from msgspec import Meta

from services.gateway.app.answers import json_response
from services.gateway.app.context import Context
from services.gateway.app.openapi import answers, body
from shared.contracts import codec
from shared.contracts.errors import MalformedMessage
from shared.contracts.records import RunRecord, TrainingStatus
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerRequest:
    """Train these symbols, or everything that the mode makes due."""

    mode: Mode = Mode.FULL
    symbols: tuple[Symbol, ...] | None = None
    batch_size: Annotated[int, Meta(ge=1, le=1000)] | None = None
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """The run will start when the training lock is free."""

    status: str = "queued"
    run_id: str
    mode: Mode


def routes(context: Context) -> APIRouter:
    router = APIRouter(tags=["training"])

    @router.get("/auto-train/status", responses=answers(TrainingStatus, "unavailable"))
    async def status() -> Response:
        """Everything about training at one glance."""
        return json_response(await context.colleagues.training_status())

    @router.post(
        "/auto-train/trigger",
        status_code=202,
        responses=answers(
            Queued,
            "malformed_message",
            "invalid_symbol",
            "unknown_symbol",
            "training_locked",
            "body_too_large",
            "unavailable",
            status=202,
        ),
        openapi_extra=body(TriggerRequest),
    )
    async def trigger(
        request: Request,
        idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
    ) -> Response:
        """Queue a training run. The same `Idempotency-Key` is the same run."""
        asked = codec.decode(await request.body(), TriggerRequest)
        if asked.symbols is not None:
            _check_symbols(context, asked.symbols)
        run_id = await context.colleagues.request_training(
            asked.mode,
            symbols=asked.symbols,
            batch_size=asked.batch_size,
            force=asked.force,
            idempotency_key=idempotency_key,
        )
        context.copies.queued.add(_record(run_id, asked, context.clock()))
        return json_response(
            Queued(run_id=run_id, mode=asked.mode),
            status=202,
            headers={"location": f"/api/v1/train/runs/{run_id}"},
        )

    return router


def _check_symbols(context: Context, symbols: tuple[Symbol, ...]) -> None:
    if not symbols:
        raise MalformedMessage("symbols is empty: name some, or leave it out to train what is due")
    for symbol in symbols:
        context.copies.check_symbol(symbol)


def _record(run_id: str, asked: TriggerRequest, now: datetime) -> RunRecord:
    """The run as it stands until a trainer takes it: which symbols are due is not known yet."""
    return RunRecord(
        run_id=run_id,
        mode=asked.mode,
        source=Source.API,
        status=Status.QUEUED,
        symbols=asked.symbols or (),
        batch_size=asked.batch_size or 0,
        requested_at=now,
    )
