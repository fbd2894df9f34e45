"""A trainer to which something happens at a named point of a run.

As a process: `python -m tests.support.doomed_trainer URL ROLE POINT FATE`. It says `ready`, then
`reached` at the point, and the begin and the end of each training on the clock of the machine.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from enum import StrEnum

from services.trainer.adapters.outlet import BusOutlet
from services.trainer.adapters.registry import KvRegistry
from services.trainer.adapters.runbook import KvRunBook
from services.trainer.domain.jobs import FitJob, FitResult, Inputs, Progress
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.publisher import Publisher
from shared.contracts.events import Event, JobCompleted, ModelPromoted, RunCompleted
from shared.contracts.records import (
    JobRecord,
    ModelRecord,
    PostTrainCheck,
    RunRecord,
    Universe,
)
from shared.contracts.requests import JobOrder
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Status
from tests.support.coordination import SlowPool, fit_result
from tests.support.trainers import Parts, Trainer


class Role(StrEnum):
    COORDINATOR = "coordinator"
    WORKER = "worker"


class Point(StrEnum):
    """Between two things that others can see, in the order of a run and of a job."""

    RUN_RECORDED = "after the record of the run, before it is told"
    LOCK_HELD = "under the lock, before the run is marked as running"
    JOBS_RECORDED = "after the records of the jobs, before the first order"
    SECOND_ORDER = "after the second order"
    JOBS_ENDED = "after the last job, before the check"
    CHECKED = "after the check, before the completion is told"
    COMPLETION_TOLD = "after the completion is told, before it is recorded"
    COMPLETION_RECORDED = "after the completion is recorded, before the acknowledgement"
    JOB_TAKEN = "after the job is taken, before it is marked as running"
    TRAINING = "while the child trains"
    ARTIFACT_STORED = "after the artifact is stored, before the promotion"
    PROMOTED = "after the promotion, before it is told"
    PROMOTION_TOLD = "after the promotion is told, before the end of the job is"
    JOB_TOLD = "after the end of the job is told, before it is recorded"
    JOB_RECORDED = "after the end of the job is recorded, before the acknowledgement"

    @property
    def role(self) -> Role:
        return Role.WORKER if self in _OF_WORKERS else Role.COORDINATOR


_OF_WORKERS = frozenset(list(Point)[list(Point).index(Point.JOB_TAKEN) :])


class Fate(StrEnum):
    KILLED = "killed"
    #: Stopped for longer than its leases last, then woken.
    FROZEN = "frozen"
    #: Cut off for longer than its leases last; what it sends meanwhile arrives late.
    CUT_OFF = "cut off"


class Doom:
    """Strikes once, when its point is reached for the first time."""

    def __init__(self, point: Point, fate: Fate) -> None:
        self.point = point
        self._fate = fate
        self._struck = False

    def reach(self, point: Point) -> None:
        if point is not self.point or self._struck:
            return
        self._struck = True
        say("reached")
        match self._fate:
            case Fate.KILLED:
                os.kill(os.getpid(), signal.SIGKILL)
            case Fate.FROZEN:
                os.kill(os.getpid(), signal.SIGSTOP)
            case Fate.CUT_OFF:
                sys.stdin.readline()  # until the road is closed


class DoomedRunBook(KvRunBook):
    def __init__(self, connection: Connection, doom: Doom) -> None:
        super().__init__(connection)
        self._doom = doom

    async def keep_run(self, run: RunRecord) -> RunRecord:
        if run.status is Status.RUNNING:
            self._doom.reach(Point.LOCK_HELD)
        kept = await super().keep_run(run)
        if run.status is Status.QUEUED:
            self._doom.reach(Point.RUN_RECORDED)
        if run.status.final:
            self._doom.reach(Point.COMPLETION_RECORDED)
        return kept

    async def keep_job(self, job: JobRecord) -> JobRecord:
        if job.status is Status.RUNNING:
            self._doom.reach(Point.JOB_TAKEN)
        kept = await super().keep_job(job)
        if job.status.final:
            self._doom.reach(Point.JOB_RECORDED)
        return kept


class DoomedOutlet(BusOutlet):
    def __init__(self, connection: Connection, publisher: Publisher, doom: Doom) -> None:
        super().__init__(connection, publisher)
        self._doom = doom
        self._ordered = 0

    async def emit(self, fact: Event) -> None:
        if isinstance(fact, RunCompleted):
            self._doom.reach(Point.CHECKED)
        await super().emit(fact)
        match fact:
            case RunCompleted():
                self._doom.reach(Point.COMPLETION_TOLD)
            case ModelPromoted():
                self._doom.reach(Point.PROMOTION_TOLD)
            case JobCompleted():
                self._doom.reach(Point.JOB_TOLD)

    async def order(self, order: JobOrder) -> None:
        self._doom.reach(Point.JOBS_RECORDED)
        await super().order(order)
        self._ordered += 1
        if self._ordered == 2:
            self._doom.reach(Point.SECOND_ORDER)


class DoomedRegistry(KvRegistry):
    def __init__(self, connection: Connection, doom: Doom) -> None:
        super().__init__(connection)
        self._doom = doom

    async def store(self, artifact: bytes) -> str:
        name = await super().store(artifact)
        self._doom.reach(Point.ARTIFACT_STORED)
        return name

    async def promote(self, model: ModelRecord) -> ModelRecord | None:
        replaced = await super().promote(model)
        self._doom.reach(Point.PROMOTED)
        return replaced

    async def check(self, symbols: Sequence[Symbol], universe: Universe) -> PostTrainCheck:
        self._doom.reach(Point.JOBS_ENDED)
        return await super().check(symbols, universe)


class DoomedPool(SlowPool):
    def __init__(self, doom: Doom, *, seconds: float) -> None:
        super().__init__(seconds=seconds)
        self._doom = doom

    async def run(
        self, job: FitJob, inputs: Inputs, *, deadline_s: float, on_progress: Progress
    ) -> FitResult:
        say(f"begin {job.symbol} {asyncio.get_running_loop().time()}")
        asyncio.get_running_loop().call_later(0.1, self._doom.reach, Point.TRAINING)
        try:
            return await super().run(job, inputs, deadline_s=deadline_s, on_progress=on_progress)
        finally:
            say(f"end {job.symbol} {asyncio.get_running_loop().time()}")


def say(words: str) -> None:
    print(words, flush=True)  # noqa: T201, the test reads it


async def main(url: str, role: Role, doom: Doom) -> None:
    parts = Parts(
        book=lambda connection: DoomedRunBook(connection, doom),
        outlet=lambda connection, publisher: DoomedOutlet(connection, publisher, doom),
        registry=lambda connection: DoomedRegistry(connection, doom),
    )
    # Longer than its lease, so that it would be seen if it went on after the loss.
    pool = DoomedPool(doom, seconds=5.0 if doom.point is Point.TRAINING else 0.2)
    pool.outcome = fit_result(b"doomed")
    async with connected(NatsOptions(servers=(url,)), name="doomed") as connection:
        trainer = Trainer("doomed", connection, pool, parts)
        await trainer.start(coordinates=role is Role.COORDINATOR, works=role is Role.WORKER)
        say("ready")
        await asyncio.Event().wait()  # until the test ends it


if __name__ == "__main__":
    _, address, part, where, what = sys.argv
    asyncio.run(main(address, Role(part), Doom(Point(where), Fate(what))))
