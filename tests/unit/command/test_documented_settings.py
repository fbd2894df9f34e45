"""What services read from the environment is what the operator's table of settings lists."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from evertrain.configuration import DEMO, SERVICES
from services.scheduler.settings import variable
from shared.contracts.configuration import KINDS
from shared.runtime.settings import Environment

TABLE = Path("docs/operations.md")
#: Where the desktop keeps data is not ours to explain, and the demo sets its own name by itself.
FOREIGN = {"XDG_DATA_HOME", "EVERTRAIN_DEMO"}


class Recording(Environment):
    """Remembers each name that was asked for."""

    def __init__(self) -> None:
        super().__init__({**DEMO, "NATS_URL": "nats://127.0.0.1:4222"})
        self.asked: set[str] = set()

    def optional(self, name: str) -> str | None:
        self.asked.add(name)
        return super().optional(name)


def documented() -> set[str]:
    rows = [line for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([A-Z][A-Z_]+)`", row)}


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_reads_is_in_the_table_of_settings(service: str) -> None:
    env = Recording()
    import_module(f"services.{service}.settings").Settings.read(env)
    assert env.asked
    assert env.asked - documented() - FOREIGN == set()


def test_what_can_change_while_everything_runs_is_in_the_table_of_settings() -> None:
    assert {variable(setting) for setting in KINDS} - documented() == set()
