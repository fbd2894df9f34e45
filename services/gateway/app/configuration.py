"""`/auto-train/config`: the settings of training that can change while everything runs."""

from dataclasses import fields
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from services.gateway.app import bodies
from services.gateway.app.answers import json_response
from services.gateway.app.bodies import IfMatch
from services.gateway.app.context import Context
from services.gateway.app.openapi import READS, answers, body
from services.gateway.domain.preconditions import etag, expected_revision
from shared.contracts.configuration import KINDS, Configuration, ConfigurationReport
from shared.contracts.requests import ConfigureRequest

#: What the answer of `GET /auto-train/config` says beside the settings.
_NO_SETTINGS: Final = {field.name for field in fields(ConfigurationReport)} - KINDS.keys()


def routes(context: Context) -> APIRouter:
    router = APIRouter(tags=["training"])

    @router.get("/auto-train/config", responses=answers(ConfigurationReport, "unavailable"))
    async def configuration() -> Response:
        """What training is configured to, and how that changed. Its `ETag` is its revision."""
        return _reported(await context.colleagues.configuration())

    @router.put(
        "/auto-train/config",
        responses=answers(
            ConfigurationReport,
            *READS,
            "invalid_symbol",
            "invalid_setting",
            "unknown_symbol",
            "precondition_failed",
            "precondition_required",
            "unavailable",
        ),
        openapi_extra=body(Configuration, example={"ml_train_per_cycle": 100, "train_epochs": 300}),
    )
    async def configure(request: Request, if_match: IfMatch = None) -> Response:
        """Change settings, effective at once. `If-Match` names the revision that was read.

        Settings that are left out keep their values: since the revision is named, the whole is
        known. What `GET` says beside the settings is ignored, so its answer can be sent back.
        """
        sent = await bodies.read(request, dict[str, Any])
        revision = expected_revision(if_match)
        changes = {name: value for name, value in sent.items() if name not in _NO_SETTINGS}
        changed = ConfigureRequest(changes=changes, revision=revision, by="api")
        return _reported(await context.colleagues.configure(changed))

    return router


def _reported(report: ConfigurationReport) -> Response:
    return json_response(report, headers={"etag": etag(report.revision)})
