"""The HTTP side does what its own description says, whatever it is asked: by schemathesis."""

import tempfile
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import load_all_checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from shared.contracts.reports import Level
from tests.support.gateways import SYMBOLS, model, prediction
from tests.unit.gateway.test_gateway_application import AT, HOST, Site
from tests.unit.gateway.test_gateway_facts import status

pytestmark = pytest.mark.real_time  # each request has a loop of its own


class Open(Site):
    """An application that knows everything that may be asked for, and counts nobody's requests."""

    def __init__(self, cache: Path) -> None:
        super().__init__(cache)
        for symbol in SYMBOLS:
            self.copies.models.put(model(symbol, at=AT))
            self.copies.predictions.put(prediction(symbol, at=AT))
        self.look.status = status(Level.OK, "quiet")
        self.readiness.known("everything")

    @property
    def tick(self) -> float:
        """An hour passes between any two requests."""
        self._hours = getattr(self, "_hours", 0) + 1
        return 3600.0 * self._hours

    @tick.setter
    def tick(self, value: float) -> None:
        pass


load_all_checks()
_SITE: Final = Open(Path(tempfile.gettempdir()))
_SCHEMA: Final = schemathesis.openapi.from_asgi("/openapi.json", _SITE.app, headers={"host": HOST})
_OPERATIONS: Final = {
    found.ok().label: found.ok()
    for found in _SCHEMA.get_all_operations()
    if isinstance(found, Ok)  # what is described wrongly is missing, which a test notices
}


@pytest.mark.parametrize("label", sorted(_OPERATIONS))
def test_every_answer_is_one_that_is_described(label: str) -> None:
    @settings(
        max_examples=15,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=_OPERATIONS[label].as_strategy())
    def hold(case: Any) -> None:
        answer = case.call(headers={"host": HOST})
        # Not what is right by its shape alone: a symbol may be unknown, a revision an old one.
        case.validate_response(answer, excluded_checks=[positive_data_acceptance])

    hold()


def test_every_route_is_described() -> None:
    described = {label.partition(" ")[2] for label in _OPERATIONS}
    assert described >= {"/api/v1/predictions/{symbol}", "/api/v1/auto-train/config", "/metrics"}
    assert len(_OPERATIONS) == sum(len(methods) for methods in _SCHEMA.raw_schema["paths"].values())


def test_every_shape_that_is_answered_with_has_an_example_which_is_one() -> None:
    described = _SCHEMA.raw_schema
    schemas, answered = described["components"]["schemas"], set()
    for methods in described["paths"].values():
        for route in methods.values():
            for answer in route["responses"].values():
                for content in answer.get("content", {}).values():
                    schema = content.get("schema", {})
                    answered.add(schema.get("items", schema).get("$ref", "").rpartition("/")[2])
    for name in answered - {""}:
        whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        jsonschema_rs.validate(whole, schemas[name]["examples"][0])
    assert len(answered) > 20
