"""A scheduler's process, controlled by the command line and by NATS. Nobody trains here."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats.errors
import pytest

from shared.bus.connection import NatsOptions, connected
from shared.bus.kv import Bucket
from shared.contracts import codec, subjects
from shared.contracts.records import Problem, Universe
from tests.support.servers import NatsServer, nats_server_on

_READY_WITHIN_S = 30.0
SETTINGS = {
    "DATA_PROVIDER": "synthetic:4",
    "TIMEFRAME": "15m",
    "INCREMENTAL_ENABLED": "false",
    "FULL_RETRAIN_ENABLED": "false",
}


class Desk:
    """A server with a scheduler on it, and the commands of its users."""

    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.environment = {**os.environ, "DATA_DIR": str(server.data_dir), "NO_COLOR": "1"}

    @contextmanager
    def scheduler(self, **settings: str) -> Iterator[None]:
        """One that answers; it is killed at the end. Its log is appended to `scheduler.log`."""
        with (self.server.data_dir / "scheduler.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.scheduler"],
                env={**self.environment, "NATS_URL": self.server.url, **SETTINGS, **settings},
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_until_it_answers(process)
            yield
        finally:
            process.kill()
            process.wait()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "evertrain", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def ask(self, endpoint: str, payload: bytes) -> tuple[bytes, dict[str, str]]:
        """What `nats req` shows: the answer and its headers."""

        async def ask() -> tuple[bytes, dict[str, str]]:
            options = NatsOptions(servers=(self.server.url,))
            async with connected(options, name="test") as connection:
                subject = f"evertrain.scheduler.{endpoint}"
                reply = await connection.client.request(subject, payload, timeout=5)
                return reply.data, reply.headers or {}

        return asyncio.run(ask())

    def answer(self, endpoint: str, payload: bytes = b"") -> Any:
        return json.loads(self.ask(endpoint, payload)[0])

    def log(self) -> list[dict[str, Any]]:
        lines = (self.server.data_dir / "scheduler.log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        patience = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < patience:
            assert process.poll() is None, self.log()
            with contextlib.suppress(nats.errors.Error):
                self.ask("universe", b"")
                return
            time.sleep(0.05)
        raise TimeoutError("the scheduler does not answer")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with nats_server_on(tmp_path / "data") as server:
        yield Desk(server)


def test_the_command_line_starts_and_stops_the_automation(desk: Desk) -> None:
    with desk.scheduler(SYMBOLS="SYN000,SYN001"):
        started = desk.json("auto-train", "start", "--quick")
        assert (started["status"], started["quick_mode"]) == ("started", True)
        assert desk.json("auto-train", "start")["status"] == "already_running"
        stopped = desk.json("auto-train", "stop")
        assert (stopped["status"], stopped["cancelled"]) == ("stopped", [started["run_id"]])
        status = desk.json("auto-train", "status")
        assert (status["enabled"], status["next_run_at"]) == (False, None)
        again = desk.run("auto-train", "start", "--symbols", "SYN000")
        assert (again.returncode, "begins with a cycle run" in again.stdout) == (0, True)


def test_the_command_line_configures_and_says_what_is_not_allowed(desk: Desk) -> None:
    with desk.scheduler():
        report = desk.json("auto-train", "config", "--set", "train_epochs=300")
        assert (report["train_epochs"], report["changed_by"]) == (300, "cli")
        for assignment, said in {
            "train_epochs=1": "from 10 to 5000",
            "train_epochs": "not NAME=VALUE",
        }.items():
            done = desk.run("auto-train", "config", "--set", assignment)
            assert (done.returncode, done.stdout) == (2, ""), assignment
            assert said in done.stderr


def test_what_was_decided_outlives_the_scheduler_and_wins_over_the_environment(
    desk: Desk,
) -> None:
    with desk.scheduler(TRAIN_EPOCHS="150", SYMBOLS="SYN000"):
        desk.ask("configure", b'{"changes":{"train_epochs":300}}')
        desk.ask("choose", b'{"add":["BRK-B"]}')
    with desk.scheduler(TRAIN_EPOCHS="150", SYMBOLS="SYN000"):
        assert desk.answer("config")["train_epochs"] == 300
        assert desk.answer("universe")["symbols"] == ["SYN000", "BRK-B"]
    (line,) = [line for line in desk.log() if "wins over" in line["message"]]
    assert (line["setting"], line["stored"], line["environment"]) == ("train_epochs", 300, 150)
    with desk.scheduler(SYMBOLS="SYN001"):
        assert desk.answer("universe")["symbols"] == ["SYN001"]


def test_the_command_line_changes_the_symbols_for_everyone(desk: Desk) -> None:
    with desk.scheduler(SYMBOLS="SYN000,SYN001"):
        assert desk.json("symbols", "add", "SYN002")["revision"] == 2
        assert desk.json("symbols", "remove", "SYN000")["symbols"] == ["SYN001", "SYN002"]
        chosen = desk.json("symbols", "set", "SYN003,SYN000")
        assert (chosen["symbols"], chosen["chosen_by"]) == (["SYN003", "SYN000"], "people")
        assert asyncio.run(_stored_universe(desk.server)).symbols == ("SYN003", "SYN000")
        done = desk.run("symbols", "remove", "SYN001")
        assert (done.returncode, done.stdout) == (2, "")


def test_nats_alone_controls_it_with_and_without_wishes(desk: Desk) -> None:
    with desk.scheduler():
        assert desk.answer("start")["status"] == "started"
        assert desk.answer("stop", b"{}")["status"] == "stopped"
        report = desk.answer("configure", b'{"changes":{"train_epochs":300},"revision":3}')
        assert (report["revision"], report["changed_by"]) == (4, "nats")
        assert desk.answer("config")["train_epochs"] == 300
        assert "BRK-B" in desk.answer("choose", b'{"add":["BRK-B"]}')["symbols"]


def test_every_scheduler_obeys_a_change_that_one_of_them_made(desk: Desk) -> None:
    """Which one answers is chance, so they are asked often enough to hear from both."""

    def obeyed() -> bool:
        answers = [desk.answer("status") for _ in range(20)]
        return all(one["enabled"] and one["coverage"]["symbols"] == 1 for one in answers)

    with desk.scheduler(), desk.scheduler(DATA_DIR=str(desk.server.data_dir / "second")):
        desk.answer("configure", b'{"changes":{"enabled":true,"cycle_minutes":20}}')
        desk.answer("choose", b'{"symbols":["BRK-B"]}')
        patience = time.monotonic() + _READY_WITHIN_S
        while not obeyed():
            assert time.monotonic() < patience


def test_what_cannot_be_is_refused_with_its_code(desk: Desk) -> None:
    with desk.scheduler():
        for endpoint, payload, code in (
            ("start", b"nonsense", "malformed_message"),
            ("start", b'{"timeframe":"1d"}', "invalid_setting"),
            ("configure", b"{}", "malformed_message"),
            ("configure", b'{"changes":{"train_epochs":1}}', "invalid_setting"),
            ("configure", b'{"changes":{},"revision":9}', "precondition_failed"),
            ("choose", b'{"remove":["NOPE"]}', "unknown_symbol"),
        ):
            data, headers = desk.ask(endpoint, payload)
            assert headers["Nats-Service-Error-Code"] == code, payload
            assert codec.decode(data, Problem).message


async def _stored_universe(server: NatsServer) -> Universe:
    async with connected(NatsOptions(servers=(server.url,)), name="test") as connection:
        entry = await Bucket(connection, subjects.CONFIG).get(subjects.UNIVERSE)
    assert entry is not None
    return codec.decode(entry.value, Universe)
