import os

import pytest

from services.trainer.domain.retention import Retention
from services.trainer.settings import Settings
from shared.contracts.errors import InvalidSetting
from shared.runtime.settings import Environment


def read(**values: str) -> Settings:
    return Settings.read(Environment({"NATS_URL": "nats://nowhere", **values}))


def test_the_defaults_are_those_of_the_contract() -> None:
    assert read().processes == os.cpu_count()
    assert read().retention == Retention(models_per_symbol=5, days=30)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRAINER_PROCESSES", "0"),
        ("TRAINER_PROCESSES", "many"),
        ("TRAINER_MEMORY_MB", "1"),
        ("TRAINER_DEADLINE_S", "0"),
        ("MAX_MODELS_PER_SYMBOL", "0"),
        ("MAX_AGE_DAYS", "0"),
    ],
)
def test_a_bad_value_is_refused_and_the_variable_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=name):
        read(**{name: value})
