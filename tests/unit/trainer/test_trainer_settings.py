import os

import pytest

from services.trainer.settings import Settings
from shared.contracts.errors import InvalidSetting
from shared.contracts.records import TrainingPlan
from shared.contracts.terms import Mode
from shared.runtime.settings import Environment


def read(**values: str) -> Settings:
    return Settings.read(Environment({"NATS_URL": "nats://nowhere", **values}))


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = read()
    assert settings.processes == os.cpu_count()
    assert settings.batch_size == 25
    assert settings.full == TrainingPlan(days_back=180, min_days=180, test_days=30, rounds=200)
    assert settings.quick == TrainingPlan(days_back=90, min_days=90, test_days=14, rounds=200)


@pytest.mark.parametrize("mode", Mode)
def test_only_a_quick_training_follows_the_quick_plan(mode: Mode) -> None:
    settings = read()
    assert settings.plan(mode) == (settings.quick if mode is Mode.QUICK else settings.full)


def test_days_win_over_months() -> None:
    assert read(TRAIN_MONTHS_BACK="12").full.days_back == 360
    assert read(TRAIN_MONTHS_BACK="12", TRAIN_DAYS_BACK="730").full.days_back == 730


def test_a_plan_never_asks_for_more_days_than_it_reads() -> None:
    assert read(TRAIN_DAYS_BACK="60").full.min_days == 60


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRAINER_PROCESSES", "0"),
        ("TRAINER_PROCESSES", "many"),
        ("TRAINER_MEMORY_MB", "1"),
        ("TRAINER_DEADLINE_S", "0"),
        ("TRAIN_BATCH_SIZE", "1001"),
        ("TRAIN_MONTHS_BACK", "0"),
        ("TRAIN_DAYS_BACK", "-1"),
        ("TRAIN_EPOCHS", "1e3"),
        ("QUICK_TRAINING_MIN_DAYS", "0"),
        ("QUICK_TRAINING_TEST_DAYS", "0"),
        ("FULL_TRAINING_MIN_DAYS", "x"),
        ("FULL_TRAINING_TEST_DAYS", "1000"),
    ],
)
def test_a_bad_value_is_refused_and_the_variable_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=name):
        read(**{name: value})
