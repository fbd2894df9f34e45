"""Asking for a run, and following it to its end."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from nats.aio.msg import Msg
from rich.console import Console

from evertrain.display import Display, display
from evertrain.exits import Exit
from evertrain.output import console, duration, table
from evertrain.progress import Progress
from evertrain.session import check_stores
from shared.bus.connection import Connection
from shared.bus.kv import Bucket, Entry
from shared.bus.locks import TrainingLock
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.errors import Permanent, TrainingLocked
from shared.contracts.events import RequestRefused
from shared.contracts.records import JobRecord, RunRecord
from shared.contracts.requests import TrainRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Status
from shared.runtime.tasks import alongside

_ACKNOWLEDGED_WITHIN_S: Final = 5.0
#: A trainer takes a request at once; if none has by now, nobody is there.
_TAKEN_WITHIN_S: Final = 10.0
_REFUSALS: Final = "evertrain.event.request.refused"

News = RunRecord | JobRecord | RequestRefused
Record = TypeVar("Record", RunRecord, JobRecord)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A run to ask for. `wait`: until it has ended."""

    mode: Mode
    symbols: tuple[Symbol, ...] | None
    batch_size: int | None
    wait: bool

    async def __call__(self, connection: Connection) -> Exit:
        """Ask for it.

        Raises:
            TrainingLocked: another run holds the training lock.
            Permanent: no trainer will ever take this request; it says why.
            Unavailable: NATS did not acknowledge the request.
        """
        out = console()
        run_id = f"{self.mode}-{uuid.uuid4().hex[:12]}"
        await check_stores(connection)
        await _check_unlocked(connection)
        async with _news_of(connection, run_id) as news:
            sequence = await self._request(connection, run_id)
            out.print(f"run {run_id} is requested")
            if not self.wait:
                return Exit.DONE
            progress = await _follow(news, sequence, out)
        return _conclude(progress, out)

    async def _request(self, connection: Connection, run_id: str) -> int:
        """The request's sequence number in its stream."""
        request = TrainRequest(symbols=self.symbols, batch_size=self.batch_size, request_id=run_id)
        return await Publisher(connection).publish(
            subjects.train(self.mode),
            codec.encode(request),
            message_id=run_id,
            give_up_after=_ACKNOWLEDGED_WITHIN_S,
        )


async def _check_unlocked(connection: Connection) -> None:
    """Raises TrainingLocked, saying who trains."""
    lock = await TrainingLock(connection).holder()
    if lock is not None:
        raise TrainingLocked(
            f"run {lock.run_id} ({lock.mode}, asked for by {lock.source}) has been training on "
            f"{lock.holder} since {lock.started_at:%Y-%m-%d %H:%M:%S} UTC: wait until it has ended"
        )


@asynccontextmanager
async def _news_of(connection: Connection, run_id: str) -> AsyncIterator[asyncio.Queue[News]]:
    """Everything said of one run from now on, and every request that is refused."""
    news: asyncio.Queue[News] = asyncio.Queue()
    bucket = Bucket(connection, subjects.RUNS)

    async def refused(message: Msg) -> None:
        news.put_nowait(codec.decode(message.data, RequestRefused))

    await connection.client.subscribe(_REFUSALS, cb=refused)
    async with (
        alongside(_watch(bucket, f"run.{run_id}", RunRecord, news), name="run"),
        alongside(_watch(bucket, f"job.{run_id}.*", JobRecord, news), name="jobs"),
    ):
        yield news


async def _watch(
    bucket: Bucket, pattern: str, kind: type[Record], news: asyncio.Queue[News]
) -> None:
    async with aclosing(bucket.watch(pattern)) as changes:
        async for change in changes:
            if isinstance(change, Entry):
                news.put_nowait(codec.decode(change.value, kind))


async def _follow(news: asyncio.Queue[News], sequence: int, out: Console) -> Progress:
    progress = Progress()
    refusal = f"request.refused:{subjects.REQUESTS}:{sequence}:"
    with display(out) as shown:
        while not progress.finished:
            match await _next(news, progress, shown):
                case RequestRefused(id=identity, error=reason) if identity.startswith(refusal):
                    raise Permanent(reason.message)
                case RunRecord() | JobRecord() as record:
                    progress.take(record)
                    shown.update(progress)
    return progress


async def _next(news: asyncio.Queue[News], progress: Progress, shown: Display) -> News | None:
    """None, and a word to the person who waits, when nobody takes the request."""
    try:
        async with asyncio.timeout(None if progress.run else _TAKEN_WITHIN_S):
            return await news.get()
    except TimeoutError:
        shown.note(
            "no trainer has taken the request yet: are trainer and scheduler running? "
            "`evertrain monitor` shows it"
        )
        return None


def _conclude(progress: Progress, out: Console) -> Exit:
    run = progress.run
    assert run is not None
    match run.status:
        case Status.SUCCEEDED | Status.FAILED:
            return _summary(run, progress, out)
        case Status.CANCELLED:
            out.print(f"run {run.run_id} was cancelled; {run.done} of {run.total} were trained")
            return Exit.PARTLY
        case _:
            reason = run.error.message if run.error else "no reason was given"
            out.print(f"run {run.run_id} was {run.status}: {reason}")
            return Exit.REFUSED


def _summary(run: RunRecord, progress: Progress, out: Console) -> Exit:
    took = (
        (run.finished_at - run.started_at).total_seconds()
        if run.finished_at and run.started_at
        else None
    )
    out.print(f"{run.done} of {run.total} trained in {duration(took)}")
    if run.error:
        out.print(f"the run failed: {run.error.message}")
    if progress.failed:
        reasons = (
            (job.symbol, job.error.message if job.error else None) for job in progress.failed
        )
        out.print(table("Failed", "Reason", rows=reasons))
    if progress.refused:
        reasons = (
            (job.symbol, job.refused.message if job.refused else None) for job in progress.refused
        )
        out.print(table("Kept its old model", "Reason", rows=reasons))
    if run.check and run.check.missing:
        out.print(f"still without a model: {', '.join(run.check.missing)}")
    if run.check and run.check.unsound:
        faults = ((one.symbol, one.reason.message) for one in run.check.unsound)
        out.print(table("Has an unsound model", "Reason", rows=faults))
    return Exit.DONE if run.status is Status.SUCCEEDED else Exit.PARTLY
