"""`/auto-train`: how training stands, starting and stopping it, and asking for a run."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Request, Response
from msgspec import Meta

from services.gateway.app import bodies
from services.gateway.app.answers import json_response
from services.gateway.app.bodies import IdempotencyKey
from services.gateway.app.context import Context
from services.gateway.app.openapi import READS, answers, body
from shared.contracts.errors import MalformedMessage
from shared.contracts.records import RunRecord, Started, Stopped, TrainingStatus
from shared.contracts.requests import StartRequest, StopRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Source, Status, Timeframe


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomationStart:
    """Look after these symbols, or after all there are. `timeframe` can only be that of the system;
    with `quick_start` it begins with a quick run over all of them.
    """

    symbols: tuple[Symbol, ...] | None = None
    timeframe: Timeframe | None = None
    quick_start: bool = False


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
            *READS,
            "invalid_symbol",
            "unknown_symbol",
            "training_locked",
            "unavailable",
            status=202,
        ),
        openapi_extra=body(TriggerRequest, example={"mode": "quick", "symbols": ["BTC/USDT"]}),
    )
    async def trigger(
        request: Request,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Queue a training run. The same `Idempotency-Key` is the same run."""
        asked = await bodies.read(request, TriggerRequest)
        if asked.symbols is not None:
            _check_symbols(context, asked.symbols)
        run_id = await context.colleagues.request_training(
            asked.mode,
            symbols=asked.symbols,
            batch_size=asked.batch_size,
            force=asked.force,
            idempotency_key=idempotency_key,
        )
        queued = _queued(context, run_id, asked.mode, Source.API, asked.symbols)
        context.copies.queued.add(replace(queued, batch_size=asked.batch_size or 0))
        return json_response(
            Queued(run_id=run_id, mode=asked.mode),
            status=202,
            headers={"location": f"/api/v1/train/runs/{run_id}"},
        )

    @router.post(
        "/auto-train/start",
        responses=answers(
            Started,
            *READS,
            "invalid_symbol",
            "invalid_setting",
            "unknown_symbol",
            "unavailable",
        ),
        openapi_extra=body(
            AutomationStart, example={"symbols": ["BTC/USDT", "ETH/USDT"], "quick_start": True}
        ),
    )
    async def start(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
        """Let the automation run, beginning at once. Where it runs already, nothing changes.

        It begins with a cycle over what is due, or with a quick run over all its symbols. The same
        `Idempotency-Key` starts once.
        """
        wanted = await bodies.read(request, AutomationStart)
        if wanted.symbols is not None:
            _check_symbols(context, wanted.symbols)
        started = await context.colleagues.start_automation(
            StartRequest(
                symbols=wanted.symbols,
                timeframe=wanted.timeframe,
                quick_start=wanted.quick_start,
                by="api",
            ),
            idempotency_key=idempotency_key,
        )
        if started.status == "started" and started.run_id is not None:
            mode = Mode.QUICK if wanted.quick_start else Mode.CYCLE
            begun = _queued(context, started.run_id, mode, Source.AUTOMATION, wanted.symbols)
            context.copies.queued.add(begun)
        return json_response(started)

    @router.post("/auto-train/stop", responses=answers(Stopped, "unavailable"))
    async def stop(idempotency_key: IdempotencyKey = None) -> Response:
        """Let the automation rest, and cancel the run in progress and those that wait.

        Children that train are ended within seconds. The same `Idempotency-Key` stops once: a late
        repeat leaves alone what was started since.
        """
        stopped = await context.colleagues.stop_automation(
            StopRequest(by="api"), idempotency_key=idempotency_key
        )
        return json_response(stopped)

    return router


def _check_symbols(context: Context, symbols: tuple[Symbol, ...]) -> None:
    if not symbols:
        raise MalformedMessage("symbols is empty: name some, or leave it out to train what is due")
    for symbol in symbols:
        context.copies.check_symbol(symbol)


def _queued(
    context: Context, run_id: str, mode: Mode, source: Source, symbols: tuple[Symbol, ...] | None
) -> RunRecord:
    """The run as it stands until a trainer takes it: which symbols are due is not known yet."""
    return RunRecord(
        run_id=run_id,
        mode=mode,
        source=source,
        status=Status.QUEUED,
        symbols=symbols or (),
        batch_size=0,
        requested_at=context.clock(),
    )
