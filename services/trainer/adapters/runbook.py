"""The run book in KV `evertrain_runs`, and the training lock as others see it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from services.trainer.domain.keeping import kept_job, kept_run
from shared.bus.connection import Connection
from shared.bus.kv import Bucket, Entry
from shared.bus.locks import TrainingLock
from shared.contracts import codec, subjects
from shared.contracts.records import JobRecord, LockHolder, RunRecord
from shared.contracts.symbols import Symbol

Record = TypeVar("Record", RunRecord, JobRecord)


class KvRunBook:
    """Each record has one writer at a time, the holder of its lease, and what zombies write late
    changes nothing that has ended.
    """

    def __init__(self, connection: Connection) -> None:
        self._runs = Bucket(connection, subjects.RUNS)
        self._lock = TrainingLock(connection)

    async def run(self, run_id: str) -> RunRecord | None:
        entry = await self._runs.get(subjects.run_key(run_id))
        return codec.decode(entry.value, RunRecord) if entry else None

    async def keep_run(self, run: RunRecord) -> RunRecord:
        """Write the record, but never over one that has ended; what stands there now."""
        return await self._keep(subjects.run_key(run.run_id), run, kept_run)

    async def job(self, run_id: str, symbol: Symbol) -> JobRecord | None:
        entry = await self._runs.get(subjects.job_key(run_id, symbol))
        return codec.decode(entry.value, JobRecord) if entry else None

    async def jobs(self, run_id: str) -> list[JobRecord]:
        entries = await self._runs.entries(f"job.{run_id}.*")
        return [codec.decode(entry.value, JobRecord) for entry in entries]

    async def keep_job(self, job: JobRecord) -> JobRecord:
        """Write the record, but never over one that has ended; what stands there now."""
        return await self._keep(subjects.job_key(job.run_id, job.symbol), job, kept_job)

    async def job_changes(self, run_id: str) -> AsyncGenerator[JobRecord]:
        async with aclosing(self._runs.watch(f"job.{run_id}.*")) as changes:
            async for change in changes:
                if isinstance(change, Entry):
                    yield codec.decode(change.value, JobRecord)

    async def lock_holder(self) -> LockHolder | None:
        return await self._lock.holder()

    async def _keep(
        self, key: str, written: Record, kept: Callable[[Record | None, Record], Record]
    ) -> Record:
        kind = type(written)

        def revised(stored: bytes | None) -> bytes:
            return codec.encode(kept(codec.decode(stored, kind) if stored else None, written))

        return codec.decode(await self._runs.revise(key, revised), kind)
