import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.scheduler.adapters.audience import Audience
from shared.bus import probe
from shared.bus.connection import Connection, NatsOptions
from shared.bus.survey import Reporter, survey
from shared.contracts.records import Problem
from shared.runtime.tasks import cancelled
from tests.support.coordination import symbols
from tests.support.servers import NatsServer, crash_and_restart

NOW = datetime(2026, 11, 22, 2, tzinfo=UTC)


def reporter(service: str) -> Reporter:
    return Reporter(
        service,
        "0.1.0",
        problems=lambda: (Problem(code="no_model", message="not yet"),),
        figures=lambda: {"jobs": 2.0},
        clock=lambda: NOW,
    )


@asynccontextmanager
async def reporting(connection: Connection, *reporters: Reporter) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(r.report_itself(connection, stop)) for r in reporters]
    await asyncio.sleep(0)
    await connection.client.flush()
    try:
        yield
    finally:
        await cancelled(*tasks)


async def test_everyone_who_runs_answers_in_order(connection: Connection) -> None:
    trainer, gateway = reporter("trainer"), reporter("gateway")
    trainer.ready = True
    async with reporting(connection, trainer, gateway):
        first, second = await survey(connection)
    assert (first.service, first.ready) == ("gateway", False)
    assert (second.service, second.ready) == ("trainer", True)
    assert (second.version, second.started_at, second.at) == ("0.1.0", NOW, NOW)
    assert second.memory_mb > 1
    assert second.problems == (Problem(code="no_model", message="not yet"),)
    assert second.figures == {"jobs": 2.0}


async def test_what_clients_listen_to_is_heard_from_every_gateway(connection: Connection) -> None:
    one, two, three = symbols(3)
    first = Reporter("gateway", "0.1.0", watched=lambda: (one, two))
    second = Reporter("gateway", "0.1.0", watched=lambda: (two, three))
    async with reporting(connection, first, second):
        assert await Audience(connection).watched() == {one, two, three}


async def test_a_process_reports_the_memory_of_those_that_it_started(
    connection: Connection,
) -> None:
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    trainer = Reporter("trainer", "0.1.0", children=lambda: (os.getpid(), gone.pid))
    async with reporting(connection, trainer):
        (report,) = await survey(connection)
    assert report.children_mb == pytest.approx(report.memory_mb, rel=0.1)


async def test_nobody_there_is_nobody(connection: Connection) -> None:
    assert await survey(connection, within=0.05) == []


async def test_noise_in_answer_to_a_survey_is_ignored(connection: Connection) -> None:
    async def noise(message: object) -> None:
        await message.respond(b"{noise")  # type: ignore[attr-defined]

    await connection.client.subscribe("evertrain.survey", cb=noise)
    async with reporting(connection, reporter("trainer")):
        assert [report.service for report in await survey(connection)] == ["trainer"]


async def test_a_survey_without_a_connection_finds_nobody(connection: Connection) -> None:
    await connection.client.close()
    assert await survey(connection) == []


async def test_a_survey_leaves_no_subscription(connection: Connection) -> None:
    before = set(connection.client._subs)
    await survey(connection, within=0.05)
    assert set(connection.client._subs) == before


async def test_a_process_reports_itself_again_after_a_crash_of_the_server(
    connection: Connection, nats_server: NatsServer
) -> None:
    async with reporting(connection, reporter("trainer")):
        await crash_and_restart(nats_server, connection)
        assert len(await survey(connection)) == 1


async def test_a_process_stops_reporting_when_asked(connection: Connection) -> None:
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(2):
        await reporter("trainer").report_itself(connection, stop)
    assert await survey(connection, within=0.1) == []


async def test_the_probe_says_whether_a_service_of_this_host_is_ready(
    connection: Connection, nats_url: str
) -> None:
    options = NatsOptions(servers=(nats_url,))
    trainer = reporter("trainer")
    async with reporting(connection, trainer):
        assert not await probe.ready(options, "trainer")
        trainer.ready = True
        assert await probe.ready(options, "trainer")
        assert not await probe.ready(options, "gateway")


def test_the_probe_of_a_machine_without_a_server_exits_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NATS_URL", raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert probe.main("trainer") == 1
    assert "evertrain up" in capsys.readouterr().err
