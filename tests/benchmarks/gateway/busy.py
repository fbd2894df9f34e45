"""Training that never ends, as many jobs at once as there are cores, in children of a trainer."""

import asyncio
import os
from typing import Any

from services.trainer.adapters.pool import TrainingPool
from tests.benchmarks import markets
from tests.benchmarks.gateway.remote import obey
from tests.benchmarks.jobs import MEMORY_MB, in_child, job_for

_ROWS = 730
_ROUNDS = 200


class Busy:
    def __init__(self) -> None:
        daily = markets.daily(None)
        self._candles = daily.long_enough(markets.with_history(_ROWS))[0]
        self._job = job_for(self._candles, daily.timeframe, _ROWS, _ROUNDS)
        self._training: asyncio.Task[None] | None = None
        self._jobs = 0

    async def train(self, *, ordinary: bool) -> dict[str, Any]:
        """Begin. `ordinary` gives the children the priority that processes have by default."""
        warm = asyncio.Event()
        self._training = asyncio.ensure_future(self._train(ordinary, warm))  # noqa: TID251
        await warm.wait()
        return {}

    async def rest(self) -> dict[str, Any]:
        """End it; how many jobs were done."""
        assert self._training
        self._training.cancel()
        await asyncio.wait([self._training])
        if not self._training.cancelled():
            self._training.result()
        jobs, self._jobs = self._jobs, 0
        return {"jobs": jobs}

    async def _train(self, ordinary: bool, warm: asyncio.Event) -> None:
        processes = os.cpu_count() or 1
        async with TrainingPool(processes, memory_mb=MEMORY_MB) as pool:
            await pool.isolation()  # which waits until its libraries are imported
            if ordinary:
                os.sched_setscheduler(pool.pids()[0], os.SCHED_OTHER, os.sched_param(0))
            warm.set()
            async with asyncio.TaskGroup() as group:
                for _ in range(processes):
                    group.create_task(self._one_after_another(pool))

    async def _one_after_another(self, pool: TrainingPool) -> None:
        while True:
            await in_child(pool, self._job, self._candles)
            self._jobs += 1


if __name__ == "__main__":
    busy = Busy()
    obey({"train": busy.train, "rest": busy.rest})
