"""The HTTP side as one application."""

import logging
from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from services.gateway.app import (
    automation,
    cache,
    configuration,
    drift,
    predictions,
    registry,
    symbols,
    system,
    trading,
    training,
)
from services.gateway.app.addresses import allowed
from services.gateway.app.answers import json_response, problem_response
from services.gateway.app.assets import Assets
from services.gateway.app.context import Context
from services.gateway.app.guard import Guard, Observe
from services.gateway.app.openapi import document
from services.gateway.domain.access import Door
from services.gateway.domain.models import ModelPage, ModelView
from services.gateway.domain.pace import Quotas
from services.gateway.domain.problems import problem, problem_of
from services.gateway.domain.signals import SignalView
from shared.contracts.configuration import Configuration, ConfigurationReport
from shared.contracts.errors import AppError
from shared.contracts.quality import DriftReport
from shared.contracts.records import (
    CacheReport,
    CandleSummary,
    Cleared,
    JobRecord,
    Prediction,
    Pregenerated,
    Ranked,
    RunRecord,
    Started,
    Stopped,
    TrainingStatus,
    Universe,
)
from shared.contracts.reports import SystemStatus
from shared.contracts.trading import ExposureReport, ProfitReport, Rejection

log = logging.getLogger(__name__)

_SHAPES = (
    CacheReport,
    CandleSummary,
    Cleared,
    Configuration,
    ConfigurationReport,
    DriftReport,
    ExposureReport,
    JobRecord,
    ModelPage,
    ModelView,
    Prediction,
    Pregenerated,
    ProfitReport,
    Ranked,
    Rejection,
    RunRecord,
    SignalView,
    Started,
    Stopped,
    SystemStatus,
    TrainingStatus,
    Universe,
    automation.AutomationStart,
    automation.Queued,
    automation.TriggerRequest,
    cache.CacheClearance,
    cache.PredictionsWanted,
    drift.DriftCheck,
    registry.RollbackTarget,
    symbols.SymbolsChoice,
)


def create(
    context: Context,
    door: Door,
    assets: Assets,
    *,
    quotas: Quotas,
    observe: Observe,
    metrics: Callable[[], tuple[bytes, str]],
) -> ASGIApp:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    parts = (
        cache,  # before the predictions, whose symbol may be anything
        predictions,
        training,
        automation,
        configuration,
        registry,
        trading,
        symbols,
        system,
        drift,
    )
    for part in parts:
        app.include_router(part.routes(context), prefix="/api/v1")
    app.include_router(system.probes(context, metrics))
    app.add_exception_handler(AppError, _on_app_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_fault)

    described = document(app, _SHAPES)

    async def openapi(request: Request) -> Response:
        return json_response(described)

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    app.router.routes.extend(assets.routes())
    return Guard(app, door, quotas, observe)


async def _on_app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    return problem_response(problem_of(error))


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"where": ".".join(map(str, found["loc"])), "message": found["msg"]}
        for found in error.errors()
    ]
    detail = "; ".join(f"{found['where']}: {found['message']}" for found in errors)
    return problem_response(problem("invalid_request", detail, errors=errors))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path, method = request.url.path[:200], request.method
    if error.status_code == 405:
        methods = allowed(request.app.routes, request.url.path)
        refused = problem("method_not_allowed", f"{path} does not take {method}; use {methods}")
        refused.headers["allow"] = methods
        return problem_response(refused)
    return problem_response(
        problem("unknown_route", f"there is nothing at {path}; /docs shows what there is")
    )


async def _on_fault(request: Request, error: Exception) -> Response:
    """The framework raises the error again behind us, so that the server logs it."""
    return problem_response(
        problem("internal_error", "the fault was logged; please report it with its request_id")
    )
