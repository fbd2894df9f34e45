"""The OpenAPI document: routes from the framework, shapes from the codec that writes them."""

from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.gateway.domain.problems import KINDS
from shared.contracts.symbols import Symbol
from shared.runtime.version import VERSION

#: One of each shape that is answered with, by its name; they came from a running system.
_EXAMPLES: Final = Path(__file__).with_name("examples.json")
_REF: Final = "#/components/schemas/{name}"
_PROBLEM: Final = {
    "type": "object",
    "description": "Problem details, RFC 9457. `code` is stable; `detail` says what to do.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted(KINDS)},
        "request_id": {"type": "string", "description": "finds the request in the log"},
    },
}
#: Problems that any route may answer with.
_ALWAYS: Final = ("invalid_request", "not_authenticated", "not_allowed", "too_many_requests")
#: Problems with a body.
READS: Final = ("malformed_message", "unsupported_media_type", "body_too_large")
_DESCRIPTION: Final = """\
Predictions, training and the state of the system. Times are UTC; a number that is unknown is null.
In addresses, the `/` of a symbol is written `_`: `BTC_USDT`.

The websocket is at `/ws`. Where keys are set up, send yours as `Authorization: Bearer KEY`.
"""


def answers(shape: object, *codes: str, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers with `shape`, or with one of these problems."""
    documented: dict[int | str, dict[str, Any]] = {
        status: {"description": "OK", "content": {"application/json": {"schema": _schema(shape)}}}
    }
    for code in (*_ALWAYS, *codes):
        kind = KINDS[code]
        known = documented.get(kind.status)
        names = f"{known['description']}, `{code}`" if known else f"`{code}`"
        documented[kind.status] = {
            "description": names,
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        }
    return documented


def body(shape: object, *, example: object = None) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads `shape`; it may be left out."""
    content = {"schema": _schema(shape)} | ({"example": example} if example else {})
    return {"requestBody": {"required": False, "content": {"application/json": content}}}


def document(app: FastAPI, shapes: tuple[type, ...]) -> dict[str, Any]:
    """The whole document. `shapes` are all that routes answer with or read."""
    described = get_openapi(
        title="Evertrain", version=VERSION, description=_DESCRIPTION, routes=app.routes
    )
    _, components = msgspec.json.schema_components(shapes, schema_hook=_symbol, ref_template=_REF)
    schemas = {**components, "Problem": _PROBLEM}
    for name, example in orjson.loads(_EXAMPLES.read_bytes()).items():
        schemas[name] = {**schemas[name], "examples": [example]}
    described["components"] = {
        "schemas": schemas,
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
    }
    described["security"] = [{"key": []}, {}]
    return described


def _schema(shape: object) -> dict[str, Any]:
    item = _item(shape)
    if item is not None:
        return {"type": "array", "items": _schema(item)}
    return {"$ref": _REF.format(name=getattr(shape, "__name__", ""))}


def _item(shape: object) -> object:
    arguments: tuple[object, ...] = get_args(shape)
    return arguments[0] if arguments else None


def _symbol(kind: type) -> dict[str, Any]:
    if kind is Symbol:
        return {
            "type": "string",
            "pattern": "^[A-Z0-9][A-Z0-9./:-]{0,31}$",
            "examples": ["BTC/USDT"],
        }
    raise NotImplementedError
