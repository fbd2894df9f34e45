"""`/train`: what was trained, and what is being trained."""

import re
from contextlib import suppress
from dataclasses import fields
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from services.gateway.app.addresses import Before, Limit, SymbolInQuery
from services.gateway.app.answers import json_response, page
from services.gateway.app.context import Context
from services.gateway.app.openapi import answers
from shared.contracts.errors import NotFound
from shared.contracts.records import JobRecord, RunRecord
from shared.contracts.requests import JobsRequest, RunsRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Status

_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
RunId = Annotated[str | None, Query(pattern=f"^{_RUN_ID.pattern}$")]


def routes(context: Context) -> APIRouter:
    router = APIRouter(tags=["training"])

    @router.get("/train/jobs", responses=answers(list[JobRecord], "invalid_symbol", "unavailable"))
    async def jobs(
        request: Request,
        symbol: SymbolInQuery = None,
        status: Status | None = None,
        run_id: RunId = None,
        limit: Limit = 100,
        before: Before = None,
    ) -> Response:
        """Jobs, newest first: one symbol in one run each."""
        asked = JobsRequest(
            symbol=Symbol.from_path(symbol) if symbol is not None else None,
            status=status,
            run_id=run_id,
            limit=limit,
            before=before,
        )
        found = await context.colleagues.jobs(asked)
        cursor = found[-1].job_id if found else None
        return page(request, [_job(job) for job in found], limit=limit, cursor=cursor)

    @router.get("/train/runs", responses=answers(list[RunRecord], "unavailable"))
    async def runs(request: Request, limit: Limit = 100, before: Before = None) -> Response:
        """Runs, newest first."""
        found = await context.colleagues.runs(RunsRequest(limit=limit, before=before))
        cursor = found[-1].run_id if found else None
        return page(request, [_run(run) for run in found], limit=limit, cursor=cursor)

    @router.get("/train/runs/{run_id}", responses=answers(RunRecord, "not_found", "unavailable"))
    async def run(run_id: str) -> Response:
        """One run. One that was asked for here is there at once, as queued."""
        return json_response(_run(await _found(context, run_id)))

    return router


async def _found(context: Context, run_id: str) -> RunRecord:
    """Raises NotFound: nobody has heard of that run."""
    runs = []
    if _RUN_ID.fullmatch(run_id):
        with suppress(NotFound):
            runs = await context.colleagues.runs(RunsRequest(run_id=run_id))
    found = runs[0] if runs else context.copies.queued.get(run_id)
    if found is None:
        raise NotFound(f"there is no run {run_id[:80]!r}; GET /api/v1/train/runs lists them")
    return found


def _job(job: JobRecord) -> dict[str, object]:
    return {**_fields(job), "duration_s": job.duration_s}


def _run(run: RunRecord) -> dict[str, object]:
    return {**_fields(run), "total": run.total}


def _fields(record: JobRecord | RunRecord) -> dict[str, object]:
    return {field.name: getattr(record, field.name) for field in fields(record)}
