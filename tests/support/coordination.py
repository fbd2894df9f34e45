"""What coordinators and workers need, in memory: a run book, a planner, an outlet, a registry."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.trainer.domain.jobs import FitJob, FitResult, Inputs, Progress
from services.trainer.domain.keeping import kept_job, kept_run
from services.trainer.domain.plans import plan
from services.trainer.domain.slopes import Slopes, borne_out, expected_beside
from shared.contracts import codec
from shared.contracts.configuration import Configuration
from shared.contracts.errors import Fenced, Unavailable, UnknownSymbol
from shared.contracts.events import Event
from shared.contracts.records import (
    JobRecord,
    LockHolder,
    ModelRecord,
    PostTrainCheck,
    RunRecord,
    Universe,
)
from shared.contracts.requests import JobOrder, PlannedJob
from shared.contracts.subjects import TRAINING_LOCK
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon, Mode, Source, Status, Timeframe
from tests.support.stores import MemoryLeaseStore

BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)
CONFIGURATION = Configuration()


def loop_clock() -> datetime:
    """The loop's time, counted from `BEGIN`."""
    return BEGIN + timedelta(seconds=asyncio.get_running_loop().time())


def symbols(count: int) -> tuple[Symbol, ...]:
    return tuple(Symbol(f"S{number}") for number in range(count))


def run_record(*, run_id: str = "full-1", mode: Mode = Mode.FULL, count: int = 1) -> RunRecord:
    return RunRecord(
        run_id=run_id,
        mode=mode,
        source=Source.MANUAL,
        status=Status.QUEUED,
        symbols=symbols(count),
        batch_size=25,
        requested_at=BEGIN,
    )


def job_record(
    symbol: Symbol,
    status: Status = Status.QUEUED,
    *,
    run_id: str = "full-1",
    finished_at: datetime | None = None,
) -> JobRecord:
    return JobRecord(
        job_id=f"{run_id}.{symbol.token}",
        run_id=run_id,
        symbol=symbol,
        mode=Mode.FULL,
        source=Source.MANUAL,
        status=status,
        created_at=BEGIN,
        finished_at=finished_at,
    )


def job_order(symbol: Symbol, *, run_id: str = "full-1") -> JobOrder:
    return JobOrder(
        run_id=run_id,
        symbol=symbol,
        mode=Mode.FULL,
        source=Source.MANUAL,
        timeframe=Timeframe.D1,
        horizons=(1, 3),
        plan=plan(CONFIGURATION, Mode.FULL),
        created_at=BEGIN,
    )


def model_record(
    symbol: Symbol,
    *,
    token: int = 1,
    epoch: str = "memory",
    version: str = "v1",
    created_at: datetime = BEGIN,
    horizons: tuple[int, ...] = (1, 3),
) -> ModelRecord:
    return ModelRecord(
        symbol=symbol,
        version=version,
        sha256="0" * 64,
        size=1,
        created_at=created_at,
        timeframe=Timeframe.D1,
        horizons=horizons,
        mode=Mode.FULL,
        run_id="full-0",
        token=token,
        epoch=epoch,
        candle_at=BEGIN,
        rows=500,
        scores=(),
        libraries={},
    )


def fit_result(artifact: bytes = b"model") -> FitResult:
    return FitResult(
        artifact=artifact,
        mode=Mode.FULL,
        horizons=(1, 3),
        dropped=(),
        scores=(),
        rows=500,
        candle_at_ms=1_700_000_000_000,
        libraries={"numpy": "2"},
    )


class Story(list[str]):
    """What happened, in order."""


class MemoryRunBook:
    def __init__(self, leases: MemoryLeaseStore, story: Story) -> None:
        self.runs: dict[str, RunRecord] = {}
        self.records: dict[tuple[str, Symbol], JobRecord] = {}
        #: How often each record was written, with its status.
        self.written: list[tuple[str, Status]] = []
        #: Whether a run can be read.
        self.answers = True
        self._leases = leases
        self._story = story
        self._watchers: list[asyncio.Queue[JobRecord]] = []

    def note(self, job: JobRecord) -> None:
        """Write the record of a job, as another process would."""
        self.records[job.run_id, job.symbol] = job
        for watcher in self._watchers:
            watcher.put_nowait(job)

    async def run(self, run_id: str) -> RunRecord | None:
        if not self.answers:
            raise Unavailable("NATS does not answer")
        return self.runs.get(run_id)

    async def keep_run(self, run: RunRecord) -> RunRecord:
        self._story.append(f"keep run {run.status}")
        self.written.append((run.run_id, run.status))
        self.runs[run.run_id] = kept_run(self.runs.get(run.run_id), run)
        return self.runs[run.run_id]

    def cancel(self, run_id: str) -> None:
        """Ask for the end of a run, as the scheduler does."""
        self.runs[run_id] = replace(self.runs[run_id], cancel_requested_at=loop_clock())

    async def job(self, run_id: str, symbol: Symbol) -> JobRecord | None:
        return self.records.get((run_id, symbol))

    async def jobs(self, run_id: str) -> list[JobRecord]:
        return [job for job in self.records.values() if job.run_id == run_id]

    async def keep_job(self, job: JobRecord) -> JobRecord:
        self._story.append(f"keep job {job.status}")
        self.written.append((job.job_id, job.status))
        self.note(kept_job(self.records.get((job.run_id, job.symbol)), job))
        return self.records[job.run_id, job.symbol]

    async def job_changes(self, run_id: str) -> AsyncGenerator[JobRecord]:
        arrived: asyncio.Queue[JobRecord] = asyncio.Queue()
        for job in await self.jobs(run_id):
            arrived.put_nowait(job)
        self._watchers.append(arrived)
        try:
            while True:
                job = await arrived.get()
                if job.run_id == run_id:
                    yield job
        finally:
            self._watchers.remove(arrived)

    async def lock_holder(self) -> LockHolder | None:
        value = self._leases.value(TRAINING_LOCK)
        return codec.decode(value, LockHolder) if value else None


class FixedPlanner:
    """Everything of its universe is due, in full."""

    def __init__(self, due: Sequence[Symbol]) -> None:
        self.due = tuple(due)
        self.configured = CONFIGURATION
        self.asked: list[tuple[Symbol, ...] | None] = []
        self.answers = True
        self.runs: list[RunRecord] = []

    async def plan(self, mode: Mode, symbols: Sequence[Symbol] | None) -> list[PlannedJob]:
        if not self.answers:
            raise Unavailable("the scheduler does not answer")
        self.asked.append(tuple(symbols) if symbols is not None else None)
        named = self.due if symbols is None else symbols
        if unknown := set(named) - set(self.due):
            raise UnknownSymbol(f"not in the universe: {', '.join(sorted(unknown))}")
        return [PlannedJob(symbol=symbol, mode=Mode.FULL) for symbol in named]

    async def newest_runs(self, mode: Mode) -> list[RunRecord]:
        return [run for run in self.runs if run.mode is mode]

    async def universe(self) -> Universe:
        return Universe(symbols=self.due, timeframe=Timeframe.D1, horizons=(1, 3))

    async def configuration(self) -> Configuration:
        return self.configured


class RecordingOutlet:
    """Keeps what it is given, and hands each order to `on_order`."""

    def __init__(self, story: Story) -> None:
        self.events: list[Event] = []
        self.orders: list[JobOrder] = []
        self.on_order: Callable[[JobOrder], None] = lambda order: None
        self._story = story

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    async def emit(self, fact: Event) -> None:
        await asyncio.sleep(0)
        self._story.append(f"emit {fact.type}")
        self.events.append(fact)

    async def order(self, order: JobOrder) -> None:
        await asyncio.sleep(0)
        self._story.append(f"order {order.symbol}")
        self.orders.append(order)
        self.on_order(order)

    async def take_back(self, run_id: str, symbol: Symbol) -> None:
        self._story.append(f"take back {symbol}")


class Crew:
    """Workers who end each job some seconds after it was ordered."""

    def __init__(self, book: MemoryRunBook, *, seconds: float = 10.0) -> None:
        self.seconds = seconds
        self.failing: set[Symbol] = set()
        #: When each job was ordered and when it ended, on the loop's clock.
        self.ordered: dict[Symbol, float] = {}
        self.ended: dict[Symbol, float] = {}
        self._book = book

    def take(self, order: JobOrder) -> None:
        loop = asyncio.get_running_loop()
        self.ordered[order.symbol] = loop.time()
        loop.call_later(self.seconds, self._end, order)

    def _end(self, order: JobOrder) -> None:
        self.ended[order.symbol] = asyncio.get_running_loop().time()
        failed = order.symbol in self.failing
        job = self._book.records[order.run_id, order.symbol]
        self._book.note(replace(job, status=Status.FAILED if failed else Status.SUCCEEDED))


class MemoryRegistry:
    """Live models, fenced like the real ones. `check` finds missing what is not live."""

    def __init__(self) -> None:
        self.live: dict[Symbol, ModelRecord] = {}
        self.artifacts: dict[str, bytes] = {}
        #: Called when an artifact is stored: what the rest of the world does at that moment.
        self.meanwhile: Callable[[], None] = lambda: None

    async def store(self, artifact: bytes) -> str:
        name = f"{len(self.artifacts):064x}"
        self.artifacts[name] = artifact
        self.meanwhile()
        return name

    async def live_model(self, symbol: Symbol) -> ModelRecord | None:
        return self.live.get(symbol)

    def beside(self, symbol: Symbol, timeframe: Timeframe, horizons: tuple[Horizon, ...]) -> Slopes:
        others = [borne_out(model.scores) for model in self.live.values() if model.symbol != symbol]
        return expected_beside(others, horizons)

    async def fetch(self, sha256: str) -> bytes:
        return self.artifacts.get(sha256, b"")

    async def promote(self, model: ModelRecord) -> ModelRecord | None:
        live = self.live.get(model.symbol)
        if live is not None and live.epoch == model.epoch and live.token >= model.token:
            raise Fenced(f"a newer holder has promoted {live.version}")
        self.live[model.symbol] = model
        return live

    async def check(self, symbols: Sequence[Symbol], universe: Universe) -> PostTrainCheck:
        missing = tuple(symbol for symbol in symbols if symbol not in self.live)
        return PostTrainCheck(sound=len(symbols) - len(missing), missing=missing)


class EmptyCandles:
    async def tail(self, symbol: Symbol, timeframe: Timeframe, rows: int) -> bytes:
        return b""


class SlowPool:
    """A child that takes `seconds`, tells of its `stages`, each after so many of them, and ends as
    `outcome` says.
    """

    def __init__(self, *, seconds: float = 10.0) -> None:
        self.seconds = seconds
        self.stages = {"fitting": 0.0}
        self.outcome: FitResult | Exception = fit_result()
        self.begun = 0
        self.jobs: list[FitJob] = []
        self.inputs: list[Inputs] = []
        #: The symbol, begin and end of each training that is over, on the loop's clock.
        self.trained: list[tuple[Symbol, float, float]] = []

    async def run(
        self, job: FitJob, inputs: Inputs, *, deadline_s: float, on_progress: Progress
    ) -> FitResult:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self.jobs.append(job)
        self.inputs.append(inputs)
        self.begun += 1
        try:
            for stage, after in self.stages.items():
                await asyncio.sleep(begun + after - loop.time())
                on_progress(stage, after / self.seconds if self.seconds else 1.0)
            await asyncio.sleep(begun + self.seconds - loop.time())
        finally:
            self.trained.append((job.symbol, begun, loop.time()))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome
