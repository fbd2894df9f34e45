"""How a service process ends, seen from outside: each test runs one."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import asyncio
from shared.contracts.errors import Unavailable
from shared.runtime.service import run
from shared.runtime.tasks import supervise

async def waits(stop):
    print("up", flush=True)
    await stop.wait()

async def gives_up(stop):
    raise Unavailable("NATS went away")

async def has_a_bug(stop):
    raise ZeroDivisionError("a bug")

async def main(env):
    {body}

run("tested", main)
"""
_ROOT = Path(__file__).parents[3]


def started(body: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.format(body=body)],
        cwd=_ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(body: str, **env: str) -> tuple[int, str]:
    """Exit code and standard error."""
    process = started(body, **env)
    _, errors = process.communicate(timeout=20)
    return process.returncode, errors


def test_a_bad_setting_exits_2_with_one_line_that_says_what_to_mend() -> None:
    code, errors = ended('env.integer("PORT", 1, least=0, most=9)', PORT="x")
    assert code == 2
    [line] = errors.splitlines()
    message = json.loads(line)["message"]
    assert message == "PORT='x' is not allowed: set a whole number from 0 to 9"


def test_a_worker_that_gives_up_exits_2_with_one_line() -> None:
    code, errors = ended("await supervise(waits, gives_up, grace=1)")
    assert code == 2
    [line] = errors.splitlines()
    assert json.loads(line)["message"] == "NATS went away"


@pytest.mark.parametrize(
    "body", ["1 / 0", "await supervise(waits, has_a_bug, grace=1)"], ids=["start", "worker"]
)
def test_a_bug_exits_1_with_its_traceback_in_one_line(body: str) -> None:
    code, errors = ended(body)
    assert code == 1
    [line] = errors.splitlines()
    told = json.loads(line)
    assert told["level"] == "critical"
    assert "Traceback" in told["traceback"]
    assert "ZeroDivisionError" in told["traceback"]


def test_a_bug_is_not_hidden_by_an_expected_error_beside_it() -> None:
    code, errors = ended("await supervise(gives_up, has_a_bug, grace=1)")
    assert code == 1
    assert "ZeroDivisionError" in errors


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "body",
    ["await supervise(waits, grace=1)", 'print("up", flush=True); await asyncio.sleep(60)'],
    ids=["working", "starting"],
)
def test_a_signal_ends_it_well_at_any_time(body: str, signum: signal.Signals) -> None:
    process = started(body)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signum)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_it_ends_when_the_supervisor_that_started_it_is_gone_already() -> None:
    code, errors = ended("await supervise(waits, grace=1)", EVERTRAIN_PARENT="1")
    assert code == 1
    assert "supervisor" in errors


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_it_dies_with_a_supervisor_that_is_killed() -> None:
    parent = (
        "import os, subprocess, sys\n"
        "os.environ['EVERTRAIN_PARENT'] = str(os.getpid())\n"
        f"child = subprocess.Popen([sys.executable, '-c', {_PROGRAM!r}.format("
        "body='await supervise(waits, grace=1)')])\n"
        "child.wait()\n"
    )
    command = [sys.executable, "-c", parent]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "up\n"
        supervisor.kill()
        # The pipe ends when its last holder does: the service.
        assert supervisor.stdout.read() == ""
