import asyncio
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from typer.testing import CliRunner, Result

from evertrain.__main__ import app
from evertrain.picture import picture
from evertrain.simulation import Assumptions, JobTimes, Outcome, job_times, simulate
from services.scheduler.adapters.view import SCHEMA, RunView
from shared.bus.kv import Entry
from shared.contracts import codec
from shared.contracts.configuration import Configuration
from shared.contracts.terms import Mode, Status
from shared.storage.sqlite import open_view
from tests.support.coordination import BEGIN, job_record, symbols

GIVEN = Assumptions(
    days=8,
    symbols=20,
    processes=2,
    failure_rate=0.1,
    seed=7,
    times=JobTimes(full=[8.0], update=[1.6], measured=False),
)


def outcome(given: Assumptions = GIVEN) -> Outcome:
    return simulate(given, Configuration(enabled=True))


def test_the_same_seed_gives_the_same_and_another_something_else() -> None:
    assert outcome() == outcome()
    assert outcome() != outcome(replace(GIVEN, seed=8))


def test_runs_are_counted_by_mode_and_models_by_age() -> None:
    found = outcome()
    figures = {one.mode: one for one in found.modes}
    assert set(figures) == {Mode.CYCLE, Mode.INCREMENTAL, Mode.FULL}
    assert (figures[Mode.FULL].runs, figures[Mode.FULL].jobs) == (1, 20)
    assert figures[Mode.CYCLE].runs + figures[Mode.CYCLE].idle + figures[Mode.CYCLE].locked == 768
    first, last = found.moments[0], found.moments[-1]
    assert (first.missing, first.oldest) == (20, None)
    assert (last.fresh, last.at - first.at) == (20, timedelta(days=8))
    assert found.cooldown_violations == 0


def test_the_picture_is_svg_with_an_area_for_each_state_and_a_line_for_each_age() -> None:
    drawn = ET.fromstring(picture(outcome()))
    tags = [part.tag.rpartition("}")[2] for part in drawn.iter()]
    assert tags[0] == "svg"
    assert (tags.count("polygon"), tags.count("polyline")) == (3, 3)


def run(*options: str, data_dir: Path) -> Result:
    few = ("--days", "2", "--symbols", "5", "--processes", "2")
    return CliRunner().invoke(app, ["simulate", *few, *options], env={"DATA_DIR": str(data_dir)})


def test_the_command_shows_tables_or_json_and_draws(tmp_path: Path) -> None:
    shown = run("--plot", str(tmp_path / "year.svg"), data_dir=tmp_path)
    assert shown.exit_code == 0
    assert "every symbol had a model after" in shown.output
    assert (tmp_path / "year.svg").read_text().startswith("<svg")
    told = json.loads(run("--json", data_dir=tmp_path).output)
    assert (told["symbols"], told["days"], told["cooldown_violations"]) == (5, 2, 0)


def test_a_picture_that_cannot_be_written_is_a_mistake_in_the_command(tmp_path: Path) -> None:
    failed = run("--plot", str(tmp_path / "nowhere" / "year.svg"), data_dir=tmp_path)
    assert failed.exit_code == 2
    assert "cannot be written" in failed.output


def test_job_times_are_those_of_the_jobs_that_ran_here(tmp_path: Path) -> None:
    full = replace(
        job_record(symbols(1)[0], Status.SUCCEEDED, finished_at=BEGIN + timedelta(seconds=3)),
        started_at=BEGIN,
    )
    update = replace(
        full, mode=Mode.INCREMENTAL, job_id="u", started_at=BEGIN + timedelta(seconds=2)
    )

    async def keep() -> None:
        async with open_view(tmp_path / "scheduler" / "runs.sqlite", SCHEMA) as database:
            for revision, job in enumerate((full, update), 1):
                entry = Entry(f"job.{job.job_id}", codec.encode(job), revision)
                await RunView(database).take(entry)

    asyncio.run(keep())
    assert job_times(tmp_path, None, None) == JobTimes(full=[3.0], update=[1.0], measured=True)
    assert not job_times(tmp_path, 5.0, None).measured


def test_without_measured_jobs_their_times_are_assumed(tmp_path: Path) -> None:
    assert not job_times(tmp_path, None, None).measured
    assert job_times(tmp_path, 5.0, None).full == [5.0]
