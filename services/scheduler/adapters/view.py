"""Runs and jobs in SQLite, followed from KV `evertrain_runs`."""

import sys
from collections.abc import Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final

import aiosqlite

from shared.bus.connection import Connection
from shared.bus.kv import Bucket, CaughtUp, Entry, Removed
from shared.contracts import codec, subjects
from shared.contracts.records import JobRecord, RunRecord
from shared.contracts.requests import JobsRequest, RunsRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Status
from shared.runtime.clock import from_ms, to_ms

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, requested_at INTEGER NOT NULL, status TEXT NOT NULL,
    revision INTEGER NOT NULL, record BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS runs_newest ON runs (requested_at, run_id);
CREATE TABLE IF NOT EXISTS jobs (
    job_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, symbol TEXT NOT NULL, status TEXT NOT NULL,
    mode TEXT NOT NULL, created_at INTEGER NOT NULL, finished_at INTEGER,
    revision INTEGER NOT NULL, record BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_newest ON jobs (created_at, job_id);
CREATE INDEX IF NOT EXISTS jobs_of_run ON jobs (run_id);
CREATE INDEX IF NOT EXISTS jobs_of_symbol ON jobs (symbol, created_at);
CREATE INDEX IF NOT EXISTS attempts ON jobs (symbol, finished_at)
    WHERE mode != 'incremental' AND status IN ('succeeded', 'failed');
"""

#: The oldest and the newest revision of nothing.
_NONE: Final = (sys.maxsize, 0)

_KEEP_RUN: Final = """
INSERT INTO runs VALUES (:run_id, :requested_at, :status, :revision, :record)
ON CONFLICT (run_id) DO UPDATE SET
    status = excluded.status, revision = excluded.revision, record = excluded.record
WHERE excluded.revision > revision
"""
_KEEP_JOB: Final = """
INSERT INTO jobs VALUES
    (:job_id, :run_id, :symbol, :status, :mode, :created_at, :finished_at, :revision, :record)
ON CONFLICT (job_id) DO UPDATE SET
    status = excluded.status, mode = excluded.mode, finished_at = excluded.finished_at,
    revision = excluded.revision, record = excluded.record
WHERE excluded.revision > revision
"""


class RunView:
    """Answers in the order newest first. A record of an older revision never replaces a newer."""

    def __init__(self, database: aiosqlite.Connection) -> None:
        self._database = database

    async def take(self, entry: Entry) -> None:
        """Note one entry of the bucket, a run or a job."""
        if entry.key.startswith("run."):
            run = codec.decode(entry.value, RunRecord)
            row: dict[str, Any] = {
                "run_id": run.run_id,
                "requested_at": to_ms(run.requested_at),
                "status": run.status,
            }
            statement = _KEEP_RUN
        else:
            job = codec.decode(entry.value, JobRecord)
            row = {
                "job_id": job.job_id,
                "run_id": job.run_id,
                "symbol": job.symbol,
                "status": job.status,
                "mode": job.mode,
                "created_at": to_ms(job.created_at),
                "finished_at": to_ms(job.finished_at) if job.finished_at else None,
            }
            statement = _KEEP_JOB
        await self._database.execute(
            statement, row | {"revision": entry.revision, "record": entry.value}
        )

    async def keep_only(self, first: int, last: int) -> None:
        """Forget what the bucket no longer has: it is older than the oldest revision there, or
        newer than the newest, which is that of another bucket.
        """
        bounds = {"first": first, "last": last}
        for table in ("runs", "jobs"):
            await self._database.execute(
                f"DELETE FROM {table} WHERE revision NOT BETWEEN :first AND :last",  # noqa: S608
                bounds,
            )

    async def runs(self, question: RunsRequest) -> list[RunRecord]:
        """At most `limit` runs that were requested before the run named `before`."""
        rows = await self._records(
            """
            SELECT record FROM runs
            WHERE (:run_id IS NULL OR run_id = :run_id)
                AND (:mode IS NULL OR json_extract(CAST(record AS TEXT), '$.mode') = :mode)
                AND (:before IS NULL OR
                (requested_at, run_id) <
                (SELECT requested_at, run_id FROM runs WHERE run_id = :before))
            ORDER BY requested_at DESC, run_id DESC LIMIT :limit
            """,
            {
                "run_id": question.run_id,
                "mode": question.mode,
                "before": question.before,
                "limit": question.limit,
            },
        )
        return [codec.decode(row, RunRecord) for row in rows]

    async def jobs(self, question: JobsRequest) -> list[JobRecord]:
        """At most `limit` jobs that match, created before the job named `before`."""
        rows = await self._records(
            """
            SELECT record FROM jobs
            WHERE (:run_id IS NULL OR run_id = :run_id)
                AND (:symbol IS NULL OR symbol = :symbol)
                AND (:status IS NULL OR status = :status)
                AND (:before IS NULL OR
                    (created_at, job_id) <
                    (SELECT created_at, job_id FROM jobs WHERE job_id = :before))
            ORDER BY created_at DESC, job_id DESC LIMIT :limit
            """,
            {
                "run_id": question.run_id,
                "symbol": question.symbol,
                "status": question.status,
                "before": question.before,
                "limit": question.limit,
            },
        )
        return [codec.decode(row, JobRecord) for row in rows]

    async def jobs_of(self, run_id: str) -> list[JobRecord]:
        rows = await self._records(
            "SELECT record FROM jobs WHERE run_id = :run_id", {"run_id": run_id}
        )
        return [codec.decode(row, JobRecord) for row in rows]

    async def unfinished(self) -> list[RunRecord]:
        """Runs that have not ended, oldest first."""
        rows = await self._records(
            "SELECT record FROM runs WHERE status IN (:queued, :running) ORDER BY requested_at",
            {"queued": Status.QUEUED, "running": Status.RUNNING},
        )
        return [codec.decode(row, RunRecord) for row in rows]

    async def outcomes(self) -> dict[Status, int]:
        """How many of the newest thousand jobs stand how."""
        query = """
            SELECT status, count(*) FROM
                (SELECT status FROM jobs ORDER BY created_at DESC, job_id DESC LIMIT 1000)
            GROUP BY status
        """
        async with self._database.execute(query) as found:
            return {Status(status): count async for status, count in found}

    async def attempts(self) -> dict[Symbol, datetime]:
        """When the last job of each symbol ended that trained it anew, or tried to: an update, and
        a job that was cancelled, keep no symbol from being trained.
        """
        query = """
            SELECT symbol, max(finished_at) FROM jobs
            WHERE mode != 'incremental' AND status IN ('succeeded', 'failed') GROUP BY symbol
        """
        async with self._database.execute(query) as found:
            return {Symbol(symbol): from_ms(at) async for symbol, at in found}

    async def _records(self, query: str, parameters: Mapping[str, object]) -> list[bytes]:
        async with self._database.execute(query, dict(parameters)) as found:
            return [row[0] async for row in found]


async def follow_runs(connection: Connection, view: RunView) -> None:
    """Keep the view up to date. Cancelled when it is no longer needed."""
    oldest, newest = _NONE
    async with aclosing(Bucket(connection, subjects.RUNS).watch()) as changes:
        async for change in changes:
            match change:
                case Entry(_, _, revision):
                    await view.take(change)
                    oldest, newest = min(oldest, revision), max(newest, revision)
                case CaughtUp():
                    await view.keep_only(oldest, newest)
                    oldest, newest = _NONE
                case Removed():
                    pass  # it is the oldest, and with the next repeat it is forgotten here too
