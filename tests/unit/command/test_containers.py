"""The demo in containers is the demo of `evertrain up`, and each image is built from its lock."""

from pathlib import Path

import pytest

from evertrain.configuration import DEMO, SERVICES

ROOT = Path(__file__).parents[3]
COMPOSE = (ROOT / "compose.yaml").read_text()
#: Where they are not those of the service alone.
PACKAGES = {"scheduler": '"${SCHEDULER_PACKAGES:-scheduler}"'}


@pytest.mark.parametrize(("name", "value"), DEMO.items())
def test_every_setting_of_the_demo_is_a_default_that_env_overrides(name: str, value: str) -> None:
    assert f"  {name}: ${{{name}:-{value}}}\n" in COMPOSE


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_an_image_of_its_own(service: str) -> None:
    packages = PACKAGES.get(service, service)
    assert f"build: {{ context: ., args: {{ SERVICE: {packages} }} }}" in COMPOSE
    assert (ROOT / "requirements" / f"{service}.lock").exists()


def test_the_scheduler_can_be_built_with_the_clients_of_markets() -> None:
    lock = (ROOT / "requirements" / "scheduler-markets.lock").read_text()
    assert {"ccxt", "yfinance"} < {line.partition("==")[0] for line in lock.splitlines()}
