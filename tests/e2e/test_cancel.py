"""Ending a run that real children train, while somebody watches it on the command line."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from shared.bus.connection import NatsOptions, connected
from shared.bus.embedded import find_address
from shared.bus.rpc import ask
from shared.contracts.records import RunRecord
from shared.contracts.requests import CancelRequest
from tests.support.system import System, eventually, running

#: The fork server and, behind it in the list of processes, its forks: the training children.
FORKED = "services.trainer.adapters.forkserver"
ENDED_WITHIN_S = 10


@asynccontextmanager
async def evertrain(data_dir: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evertrain", *arguments),
        env={**os.environ, "DATA_DIR": str(data_dir)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def hung_child(system: System) -> psutil.Process:
    """A training child in the middle of its job that will never end it by itself."""

    async def hung() -> psutil.Process | None:
        if not await system.get("/api/v1/train/jobs?status=running"):
            return None
        for child in system.processes(FORKED)[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.suspend()
                return child
        return None

    return await eventually(hung, within=60)


async def cancel(data_dir: Path) -> list[RunRecord]:
    address = find_address(data_dir)
    assert address is not None
    async with connected(NatsOptions(servers=(address,)), name="test") as connection:
        return await ask(connection, "evertrain.scheduler.cancel", CancelRequest(), list[RunRecord])


async def test_a_cancelled_run_ends_its_children_and_those_who_watch_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with running(data_dir, TRAINER_PROCESSES="1") as system:
        async with evertrain(data_dir, "train", "--mode", "full") as watching:
            child = await hung_child(system)
            (run,) = await cancel(data_dir)
            await asyncio.to_thread(child.wait, ENDED_WITHIN_S)
            output, _ = await watching.communicate()
        assert watching.returncode == 1
        assert f"run {run.run_id} was cancelled" in output.decode()
        assert (await system.ended(run.run_id, within=1))["status"] == "cancelled"
        jobs = await system.get(f"/api/v1/train/jobs?run_id={run.run_id}")
        assert {job["status"] for job in jobs} <= {"cancelled", "succeeded"}
        assert (await system.get("/api/v1/auto-train/status"))["lock"] is None
        assert (await system.ended(await system.trigger("full"), within=60))["done"] == 4
