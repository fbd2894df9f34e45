"""Whatever dies during a run: the run ends, what was acknowledged is there, no socket closes."""

from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.support.system import DEMO_SYMBOLS, System, eventually, listeners, running

#: A dead trainer's lease and messages have to run out before another may go on.
TAKEN_OVER_S = 90
#: The fork server and, behind it in the list of processes, its forks: the training children.
FORKED = "services.trainer.adapters.forkserver"


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    async with running(tmp_path / "data", TRAINER_PROCESSES="1") as started:
        yield started


def victim(system: System, which: str) -> psutil.Process:
    """The first process of that name; a training child is a fork of the trainer's fork server."""
    return system.processes(which)[-1 if which == FORKED else 0]


@pytest.mark.parametrize("which", [FORKED, "services.trainer", "services.predictor", "nats-server"])
async def test_a_run_outlives_a_kill(system: System, which: str) -> None:
    async with listeners(system, 10, ("training", "predictions:*")) as clients:
        run_id = await system.trigger("full")

        async def training() -> bool:
            events = clients[0].events("training", "job.progressed")
            return any(e["data"]["run_id"] == run_id for e in events)

        await eventually(training, within=60)
        victim(system, which).kill()
        run = await system.ended(run_id, within=TAKEN_OVER_S)

        assert run["done"] + run["failed"] == len(DEMO_SYMBOLS)
        assert run["failed"] == (1 if which == FORKED else 0)
        jobs = await system.get(f"/api/v1/train/jobs?run_id={run_id}")
        assert [job["error"]["code"] for job in jobs if job["error"]] == ["crashed"] * run["failed"]
        await system.serves(within=30)
        assert [client.closed for client in clients] == [None] * 10
        assert [client.gaps() for client in clients] == [[]] * 10
