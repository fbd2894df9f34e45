import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evertrain import doctor
from evertrain.configuration import DEMO
from shared.contracts.reports import Level
from shared.runtime.settings import Environment

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("version", "level"),
    [((3, 10), Level.ERROR), ((3, 11), Level.OK), ((3, 14), Level.OK), ((3, 15), Level.ERROR)],
)
def test_a_python_that_is_too_old_or_too_new_is_an_error(
    version: tuple[int, int], level: Level
) -> None:
    assert doctor.python(version).level is level


def test_a_missing_package_is_named_with_the_way_to_install_it() -> None:
    check = doctor.wheels("trainer", ("asyncio", "no_such_package"))
    assert check.level is Level.WARNING
    assert check.message == "no no_such_package: pip install 'evertrain[trainer]'"


@pytest.mark.parametrize(
    ("version", "level"),
    [("2.14.9", Level.ERROR), ("2.15.1", Level.OK), ("2.15.1-RC.1", Level.OK), ("3.0.0", Level.OK)],
)
def test_a_nats_server_that_loses_writes_on_power_cuts_is_an_error(
    version: str, level: Level
) -> None:
    assert doctor.nats_version(version).level is level


@pytest.mark.parametrize(
    ("free_mb", "level"), [(100, Level.ERROR), (1000, Level.WARNING), (9000, Level.OK)]
)
def test_little_free_disk_is_told_before_it_is_full(free_mb: float, level: Level) -> None:
    assert doctor.free_disk(free_mb).level is level


@pytest.mark.parametrize(("apart_s", "level"), [(0.5, Level.OK), (-7200, Level.WARNING)])
def test_a_clock_that_differs_from_the_servers_is_a_warning(apart_s: float, level: Level) -> None:
    assert doctor.clock(NOW, NOW + timedelta(seconds=apart_s)).level is level


def test_a_bad_setting_is_named_under_the_service_that_reads_it() -> None:
    check = doctor.settings("scheduler", Environment({**DEMO, "TRAIN_BATCH_SIZE": "many"}))
    assert check.level is Level.ERROR
    assert "TRAIN_BATCH_SIZE='many'" in check.message


def test_a_provider_that_nobody_chose_is_an_error_of_the_scheduler() -> None:
    check = doctor.settings("scheduler", Environment({}))
    assert check.level is Level.ERROR
    assert "DATA_PROVIDER is not set" in check.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert doctor.data_directory(tmp_path / "data").level is Level.ERROR


def test_a_data_directory_that_is_not_there_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    assert doctor.data_directory(tmp_path / "a" / "b").level is Level.OK
    assert list(tmp_path.iterdir()) == []


def test_the_worst_check_decides() -> None:
    checks = [doctor.free_disk(9000), doctor.free_disk(100), doctor.free_disk(1000)]
    assert doctor.worst(checks) is Level.ERROR
