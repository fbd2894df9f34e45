"""The commands of trading, cache, drift and rollback, as a user gives them, against a real
nats-server and services that only answer.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.bus import topology
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.rpc import Endpoint, serve
from shared.contracts.errors import LeaseTaken, NoEarlierModel
from shared.contracts.records import CleanupReport, ModelRecord
from shared.contracts.requests import (
    CleanupRequest,
    RollbackRequest,
)
from shared.contracts.symbols import Symbol
from shared.runtime.tasks import alongside
from tests.support.gateways import model, predictor_on, scheduler_on
from tests.support.servers import NatsServer, nats_server_on
from tests.support.trading import AT, closed_signal, open_signal, rejection

AAPL = Symbol("AAPL")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server_on(tmp_path / "data") as server:
        yield server


async def evertrain(server: NatsServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATA_DIR": str(server.data_dir), "NO_COLOR": "1"}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "evertrain", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=server.data_dir,
        timeout=40,
        check=False,
    )


@pytest.fixture
async def bus(server: NatsServer) -> AsyncIterator[Connection]:
    async with connected(NatsOptions(servers=(server.url,)), name="test") as connection:
        await topology.ensure(connection)
        yield connection


@asynccontextmanager
async def trainer_on(
    connection: Connection,
    *,
    roll_back: Callable[[RollbackRequest], Awaitable[ModelRecord]],
) -> AsyncIterator[None]:
    async def clean_up(request: CleanupRequest) -> CleanupReport:
        return CleanupReport(kept=5, deleted=2, freed_bytes=100, dry_run=request.dry_run)

    endpoints = (
        Endpoint(name="rollback", request=RollbackRequest, handler=roll_back),
        Endpoint(name="cleanup", request=CleanupRequest, handler=clean_up),
    )
    serving = serve(connection, "trainer", "1.0.0", endpoints, asyncio.Event())
    async with alongside(serving, name="trainer"):
        await asyncio.sleep(0.05)
        yield


async def test_signals_and_rejections_are_tables_for_people_and_json_for_programs(
    server: NatsServer, bus: Connection
) -> None:
    async with predictor_on(bus, (open_signal(), closed_signal()), (rejection(),)):
        await asyncio.sleep(0.05)
        assert "take profit" in (await evertrain(server, "signals")).stdout
        refused = await evertrain(server, "rejected", "--hours", "6", "--json")
        assert json.loads(refused.stdout)[0]["filters"][1]["threshold"] == 0.55
        ledger = await evertrain(server, "pnl", "--json")
        assert json.loads(ledger.stdout)["realised_cents"] == -123_456


async def test_drift_is_shown(server: NatsServer, bus: Connection) -> None:
    async with scheduler_on(bus):
        await asyncio.sleep(0.05)
        assert "1 of 4 symbols have drifted" in (await evertrain(server, "drift")).stdout


async def test_a_rollback_names_both_models(server: NatsServer, bus: Connection) -> None:
    asked: list[RollbackRequest] = []

    async def roll_back(request: RollbackRequest) -> ModelRecord:
        asked.append(request)
        return replace(model(request.symbol, at=AT), version="v1")

    async with trainer_on(bus, roll_back=roll_back):
        done = await evertrain(server, "models", "rollback", "AAPL", "--version", "v1")
        rehearsed = await evertrain(server, "models", "cleanup", "--dry-run", "--json")
    assert "AAPL: v1 lives again" in done.stdout
    assert asked == [RollbackRequest(symbol=AAPL, version="v1", by="cli")]
    assert json.loads(rehearsed.stdout)["dry_run"] is True


@pytest.mark.parametrize(
    ("error", "code"), [(LeaseTaken("full-7 trains it"), 3), (NoEarlierModel("there is none"), 2)]
)
async def test_a_rollback_that_cannot_be_is_refused_in_one_line(
    server: NatsServer, bus: Connection, error: Any, code: int
) -> None:
    async def roll_back(request: RollbackRequest) -> ModelRecord:
        raise error

    async with trainer_on(bus, roll_back=roll_back):
        done = await evertrain(server, "models", "rollback", "AAPL")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"evertrain: {error}\n")


async def test_what_others_know_is_not_guessed_while_they_are_away(
    server: NatsServer, bus: Connection
) -> None:
    for command in (("signals",), ("models", "rollback", "AAPL")):
        done = await evertrain(server, *command)
        assert (done.returncode, done.stdout) == (2, "")
        assert "does not answer; is it running?" in done.stderr
