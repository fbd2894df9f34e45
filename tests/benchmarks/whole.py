"""The whole system as `evertrain up` starts it, seen from outside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.benchmarks.children import FORK_SERVER, cpu_seconds, descendants
from tests.support.system import System

#: By what their command line names.
PARTS: Final = {
    "nats-server": "nats-server",
    "scheduler": "services.scheduler",
    "trainer": "services.trainer",
    "predictor": "services.predictor",
    "gateway": "services.gateway",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """CPU seconds: of training children that have ended, and of every other part."""

    jobs: float
    parts: dict[str, float]

    @property
    def system(self) -> float:
        return sum(self.parts.values())

    def since(self, before: "Spent") -> "Spent":
        return Spent(
            jobs=self.jobs - before.jobs,
            parts={name: used - before.parts[name] for name, used in self.parts.items()},
        )


@asynccontextmanager
async def started(data_dir: Path, **settings: str) -> AsyncIterator[System]:
    system = System.start(data_dir, **settings)
    try:
        yield system
    finally:
        await system.close()


def pids(system: System) -> list[int]:
    return [system.process.pid, *(each.pid for each in descendants(system.process.pid))]


def part(system: System, name: str) -> list[int]:
    """The processes of one part, without a fork server and its children."""
    return [
        process.pid
        for process in descendants(system.process.pid, PARTS[name])
        if process.pid not in training(system)
    ]


def training(system: System) -> list[int]:
    """The fork server and its children; nothing when there was nothing to train for a while."""
    return [process.pid for process in descendants(system.process.pid, FORK_SERVER)]


def spent(system: System) -> Spent:
    """Since the start. A fork server that was sent to rest takes its children's time with it, so
    look while it is there, or before there was one.
    """
    of_training = training(system)
    servers = [pid for pid in of_training if _parent(pid) not in of_training]
    parts = {name: part(system, name) for name in PARTS}
    parts |= {"fork server": servers, "supervisor": [system.process.pid]}
    return Spent(
        jobs=sum(cpu_seconds(pid)[1] for pid in servers),
        parts={name: sum(cpu_seconds(pid)[0] for pid in pids) for name, pids in parts.items()},
    )


def _parent(pid: int) -> int:
    try:
        return psutil.Process(pid).ppid()
    except psutil.NoSuchProcess:
        return 0
