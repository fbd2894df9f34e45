"""The supervisor with real processes: stand-ins for the services, a real nats-server."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

DRIVER = """
import asyncio, json, os, sys
from functools import partial
from pathlib import Path
from evertrain.logbook import tell
from evertrain.supervision import Patience
from evertrain.up import Plan, run
data_dir, port, commands = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
os.environ["GATEWAY_PORT"] = str(port)
plan = Plan(data_dir=data_dir, host="127.0.0.1", port=port, patience=Patience(first_delay=0.05),
            commands=commands)
asyncio.run(run(plan, show=partial(tell, stream=sys.stdout)))
"""
IDLE = "import time; print('I am here', flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {IDLE}"
WITH_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {IDLE!r}]); {IDLE}"
LISTENS = (
    "import os, socket, time\n"
    "s = socket.create_server(('127.0.0.1', int(os.environ['GATEWAY_PORT']))); time.sleep(600)"
)


class Up:
    def __init__(self, process: subprocess.Popen[str], data_dir: Path) -> None:
        self.process = process
        self._logs = data_dir / "logs"

    def all_processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def service(self, name: str) -> psutil.Process:
        return next(p for p in self.all_processes() if name in p.cmdline())

    def wait_for_line(self, name: str, times: int = 1) -> None:
        log = self._logs / f"{name}.log"
        until(lambda: log.exists() and log.read_text().count("I am here") >= times)

    def stop(self, signum: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(signum)
        return self.process.wait(timeout=10)


def until(claim: Callable[[], bool], within: float = 15.0) -> None:
    patience = time.monotonic() + within
    while not claim():
        assert time.monotonic() < patience, "it did not come true in time"
        time.sleep(0.02)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def up(data_dir: Path, port: int, **scripts: str) -> Iterator[Up]:
    """A running supervisor whose services are these scripts; killed at the end."""
    # The name stands among the arguments, so that the test finds the process.
    commands = {name: ["-c", script, name] for name, script in scripts.items()}
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(data_dir), str(port), json.dumps(commands)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Up(process, data_dir)
        finally:
            process.kill()


def command(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evertrain", *arguments],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_ctrl_c_ends_everything_and_exits_zero(tmp_path: Path, port: int) -> None:
    with up(tmp_path, port, predictor=IDLE, trainer=WITH_CHILD) as system:
        system.wait_for_line("predictor")
        system.wait_for_line("trainer", times=2)
        processes = system.all_processes()
        assert len(processes) == 4  # with nats-server and the trainer's child
        assert system.stop() == 0
        assert alive(processes) == []


def test_a_service_that_ignores_the_stop_is_killed_within_ten_seconds(
    tmp_path: Path, port: int
) -> None:
    with up(tmp_path, port, trainer=DEAF) as system:
        system.wait_for_line("trainer")
        processes = system.all_processes()
        assert system.stop(signal.SIGTERM) == 0
        assert alive(processes) == []


def test_a_second_ctrl_c_hurries(tmp_path: Path, port: int) -> None:
    with up(tmp_path, port, trainer=DEAF) as system:
        system.wait_for_line("trainer")
        system.process.send_signal(signal.SIGINT)
        time.sleep(1.1)  # two presses within a second are one
        asked = time.monotonic()
        assert system.stop() == 0
        assert time.monotonic() - asked < 3


def test_a_killed_service_is_started_again(tmp_path: Path, port: int) -> None:
    with up(tmp_path, port, predictor=IDLE, trainer=IDLE) as system:
        system.wait_for_line("trainer")
        system.wait_for_line("predictor")
        before, neighbour = system.service("trainer").pid, system.service("predictor").pid
        system.service("trainer").kill()
        system.wait_for_line("trainer", times=2)
        assert system.service("trainer").pid != before
        assert system.service("predictor").pid == neighbour


def test_what_a_killed_service_had_started_does_not_outlive_it(tmp_path: Path, port: int) -> None:
    with up(tmp_path, port, trainer=WITH_CHILD) as system:
        system.wait_for_line("trainer", times=2)
        first = system.service("trainer")
        grandchild = first.children()[0]
        first.kill()
        system.wait_for_line("trainer", times=4)
        assert not alive([grandchild])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_killing_the_supervisor_ends_everything(tmp_path: Path, port: int) -> None:
    with up(tmp_path, port, predictor=IDLE, trainer=IDLE) as system:
        system.wait_for_line("predictor")
        system.wait_for_line("trainer")
        processes = system.all_processes()
        system.process.kill()
        until(lambda: alive(processes) == [], within=5)


def test_it_says_where_to_look_once_the_gateway_listens(tmp_path: Path, port: int) -> None:
    with up(tmp_path, port, gateway=LISTENS) as system:
        assert system.process.stdout is not None
        lines = iter(system.process.stdout.readline, "")
        shown = next(line for line in lines if "Dashboard" in line)
        assert f"http://127.0.0.1:{port}/" in shown


def test_a_terminal_that_was_closed_ends_nothing(tmp_path: Path, port: int) -> None:
    with up(tmp_path, port, trainer=IDLE) as system:
        system.wait_for_line("trainer")
        for stream in (system.process.stdout, system.process.stderr):
            assert stream is not None
            stream.close()
        system.service("trainer").kill()
        system.wait_for_line("trainer", times=2)
        assert system.stop(signal.SIGHUP) == 0


def test_no_command_line_holds_the_password(tmp_path: Path, port: int) -> None:
    with up(tmp_path, port, trainer=IDLE) as system:
        system.wait_for_line("trainer")
        password = json.loads((tmp_path / "nats" / "address.json").read_text())["password"]
        assert password in system.service("trainer").environ()["NATS_URL"]
        assert not [p for p in system.all_processes() if password in " ".join(p.cmdline())]


def test_a_port_in_use_is_one_line_and_starts_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = command("up", "--demo", "--data-dir", str(tmp_path / "data"), "--port", str(port))
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        f"evertrain: cannot listen on 127.0.0.1 port {port} (address already in use): "
        f"stop what uses it, or choose another with --host and --port"
    ]
    assert not (tmp_path / "data").exists()


def test_a_second_up_on_the_same_directory_is_one_line(tmp_path: Path, port: int) -> None:
    with up(tmp_path, port, trainer=IDLE) as system:
        system.wait_for_line("trainer")
        refused = command("up", "--demo", "--data-dir", str(tmp_path), "--port", str(port))
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        f"evertrain: another evertrain is running on {tmp_path}: "
        f"stop it, or choose another directory with --data-dir"
    ]


def test_a_setting_that_a_service_would_refuse_is_one_line_and_starts_nothing(
    tmp_path: Path, port: int
) -> None:
    data_dir = tmp_path / "data"
    arguments = ("up", "--demo", "--data-dir", str(data_dir), "--port", str(port))
    refused = command(*arguments, TRAIN_BATCH_SIZE="many")
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "evertrain: TRAIN_BATCH_SIZE='many' is not allowed: set a whole number from 1 to 1000"
    ]
    assert not data_dir.exists()
