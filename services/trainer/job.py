"""One symbol of a run: candles in, a promoted model or a reason out."""

import asyncio
import logging
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Protocol

from services.trainer.domain import announcements
from services.trainer.domain.descent import Descent, after
from services.trainer.domain.jobs import FitJob, FitResult, Inputs, Progress
from services.trainer.domain.slopes import Slopes
from services.trainer.interruption import RunCancelled, unless_cancelled
from shared.contracts import codec
from shared.contracts.errors import AppError, Permanent
from shared.contracts.events import Event
from shared.contracts.records import (
    JobRecord,
    LockHolder,
    ModelRecord,
    Problem,
    RunRecord,
    Verdict,
    avg_roc_auc,
    avg_roc_auc_null,
)
from shared.contracts.requests import JobOrder
from shared.contracts.subjects import symbol_lock
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon, Mode, Status, Timeframe
from shared.contracts.trading import (
    Evolution,
    EvolvedParameters,
    ParameterSearch,
    SignalParameters,
)
from shared.model.history import rows_to_read
from shared.runtime.clock import Clock, from_ms
from shared.runtime.lease import Lease, LeasePolicy, LeaseStore, hold
from shared.runtime.tasks import alongside

log = logging.getLogger(__name__)

#: A job that was delivered this often took its trainer down again and again.
_MOST_ATTEMPTS = 20
_TELL_EVERY_S = 1.0


class RunBook(Protocol):
    """The stored runs and jobs. Every verb may raise Unavailable."""

    async def run(self, run_id: str) -> RunRecord | None: ...

    async def job(self, run_id: str, symbol: Symbol) -> JobRecord | None: ...

    async def keep_job(self, job: JobRecord) -> JobRecord:
        """Write the record, but never over one that has ended; what stands there now."""


class Candles(Protocol):
    async def tail(self, symbol: Symbol, timeframe: Timeframe, rows: int) -> bytes:
        """The newest packed rows, oldest first; may raise Unavailable."""


class Pool(Protocol):
    async def run(
        self, job: FitJob, inputs: Inputs, *, deadline_s: float, on_progress: Progress
    ) -> FitResult:
        """Train in a child process.

        Raises:
            NotEnoughHistory, TrainingFailed: what the child said, or how it ended.
        """


class Registry(Protocol):
    """The artifacts and the live models. Every verb may raise Unavailable."""

    async def live_model(self, symbol: Symbol) -> ModelRecord | None: ...

    async def fetch(self, sha256: str) -> bytes:
        """What was stored under this name; empty where it is lost or damaged."""

    async def store(self, artifact: bytes) -> str:
        """Keep the artifact, or the native file of a model; its SHA-256."""

    async def promote(self, model: ModelRecord) -> ModelRecord | None:
        """Make the model live; the one it replaced.

        Raises:
            Fenced: a model of a newer lease is live.
        """


class Parameters(Protocol):
    """What the signals of each symbol follow. Every verb may raise Unavailable."""

    async def in_force(self, symbol: Symbol) -> SignalParameters: ...

    async def note(
        self, symbol: Symbol, attempt: Evolution, *, token: int, epoch: str
    ) -> EvolvedParameters:
        """Remember the attempt, once per run, and put in force what it adopted.

        Raises:
            Fenced: a newer holder has noted an attempt.
        """


class Peers(Protocol):
    """The live models of all symbols, as far as they say what to expect of another one."""

    def beside(
        self, symbol: Symbol, timeframe: Timeframe, horizons: tuple[Horizon, ...]
    ) -> Slopes: ...


class Outlet(Protocol):
    async def emit(self, fact: Event) -> None:
        """May raise Unavailable."""


class Worker:
    """Does jobs. A symbol is trained by one worker at a time, and what it promotes is fenced."""

    def __init__(
        self,
        *,
        name: str,
        deadline_s: float,
        book: RunBook,
        candles: Candles,
        pool: Pool,
        registry: Registry,
        parameters: Parameters,
        peers: Peers,
        outlet: Outlet,
        leases: LeaseStore,
        policy: LeasePolicy,
        clock: Clock,
    ) -> None:
        self._name = name
        self._deadline_s = deadline_s
        self._book = book
        self._candles = candles
        self._pool = pool
        self._registry = registry
        self._parameters = parameters
        self._peers = peers
        self._outlet = outlet
        self._leases = leases
        self._policy = policy
        self._clock = clock

    async def on_order(self, data: bytes, attempt: int) -> None:
        """Do one job from `evertrain.job.<symbol>`; its record says how it ended.

        The record is written before this returns, and it returns before the message is
        acknowledged: an acknowledgement is not evidence of anything. A job that has ended already,
        alone or with its run, is left as it is.

        Raises:
            MalformedMessage: not a job.
            LeaseTaken, LeaseLost, Fenced: another worker has this symbol.
            Unavailable: NATS does not answer.
        """
        order = codec.decode(data, JobOrder)
        async with hold(
            self._leases,
            symbol_lock(order.symbol),
            lambda token: codec.encode(self._holder(order, token)),
            policy=self._policy,
        ) as lease:
            # Read under the lease: no one is about to end the job.
            run = await self._book.run(order.run_id)
            job = await self._book.job(order.run_id, order.symbol)
            if run and job and not (run.status.final or job.status.final):
                await self._do(order, run, job, lease, attempt)

    async def _do(
        self, order: JobOrder, run: RunRecord, job: JobRecord, lease: Lease, attempt: int
    ) -> None:
        try:
            if attempt > _MOST_ATTEMPTS:
                raise WorkerLost(
                    f"{attempt - 1} tries, and no trainer lived to tell how one ended: "
                    "the last lines of their logs may say what ended them"
                )
            async with unless_cancelled(self._book, run):
                job = await self._start(job)
                live = await self._registry.live_model(order.symbol)
                result = await self._fit(order, job, live)
            await self._judge(order, job, live, result, lease)
        except RunCancelled as exc:
            await self._drop(job, exc)
        except Permanent as exc:
            await self._fail(job, exc)

    async def _judge(
        self,
        order: JobOrder,
        job: JobRecord,
        live: ModelRecord | None,
        result: FitResult,
        lease: Lease,
    ) -> None:
        """Keep what was made, and make it the live model unless its verdict is against it."""
        sha256 = await self._registry.store(result.artifact)
        if result.verdict and result.verdict.refused:
            if live and result.needs_full:
                await self._registry.promote(_due(live, lease))
            await self._refuse(job, result, sha256, result.verdict)
            return
        descent = await self._descent(result, live)
        model = _model(order, result, sha256, descent, lease, self._clock())
        replaced = await self._registry.promote(model)
        await self._outlet.emit(announcements.model_promoted(model, replaced))
        if result.search:
            await self._evolve(model, result.search, lease)
        await self._succeed(replace(job, model_version=model.version), result)

    async def _fit(self, order: JobOrder, job: JobRecord, live: ModelRecord | None) -> FitResult:
        """Train in a child, telling of the stages that it enters."""
        entered: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
        async with alongside(self._tell(job, entered), name=f"tell {order.symbol}"):
            entered.put_nowait(("reading", 0.0))
            return await self._pool.run(
                FitJob(
                    symbol=order.symbol,
                    timeframe=order.timeframe,
                    horizons=order.horizons,
                    mode=order.mode,
                    plan=order.plan,
                    live=live.version if live else None,
                    updates=live.updates if live else 0,
                    slopes=self._peers.beside(order.symbol, order.timeframe, order.horizons),
                    parameters=await self._parameters.in_force(order.symbol),
                ),
                await self._inputs(order, live),
                deadline_s=self._deadline_s,
                on_progress=lambda stage, done: entered.put_nowait((stage, done)),
            )

    async def _evolve(self, model: ModelRecord, search: ParameterSearch, lease: Lease) -> None:
        """Only with a model that went live: parameters are made for the forecasts of one kind."""
        attempt = _attempt(model, search)
        await self._parameters.note(model.symbol, attempt, token=lease.token, epoch=lease.epoch)
        if attempt.adopted:
            log.info(
                "signal parameters adopted",
                extra={
                    "symbol": model.symbol,
                    "note": attempt.note,
                    "after": asdict(attempt.after),
                },
            )

    async def _descent(self, result: FitResult, live: ModelRecord | None) -> Descent:
        if live and result.mode is Mode.INCREMENTAL:
            return after(live)
        return Descent(native_sha256=await self._registry.store(result.native))

    async def _inputs(self, order: JobOrder, live: ModelRecord | None) -> Inputs:
        """An update reads as much as a full training: it may turn out to be one."""
        rows = rows_to_read(order.timeframe, order.plan.days_back)
        base = live.native_sha256 if live and order.mode is Mode.INCREMENTAL else None
        return Inputs(
            candles=await self._candles.tail(order.symbol, order.timeframe, rows),
            rival=await self._registry.fetch(live.sha256) if live else b"",
            base=await self._registry.fetch(base) if base else b"",
        )

    async def _tell(self, job: JobRecord, entered: asyncio.Queue[tuple[str, float]]) -> None:
        """Tell of the stage that was entered last, once a second at most: every event is written
        to the disk and read by all, and a short job enters six stages in that time.
        """
        while True:
            stage, done = await entered.get()
            while not entered.empty():
                stage, done = entered.get_nowait()
            await self._outlet.emit(announcements.job_progressed(job, stage, done, self._clock()))
            await asyncio.sleep(_TELL_EVERY_S)

    async def _start(self, job: JobRecord) -> JobRecord:
        now = self._clock()
        job = await self._book.keep_job(
            replace(job, status=Status.RUNNING, started_at=now, worker=self._name)
        )
        await self._outlet.emit(announcements.job_started(job, self._name, now))
        return job

    async def _refuse(
        self, job: JobRecord, result: FitResult, sha256: str, verdict: Verdict
    ) -> None:
        reason, now = _reason(verdict), self._clock()
        log.warning("model refused", extra={"job_id": job.job_id, "reason": reason.message})
        await self._outlet.emit(announcements.model_refused(job, sha256, reason, verdict, now))
        await self._succeed(replace(job, refused=reason), result)

    async def _succeed(self, job: JobRecord, result: FitResult) -> None:
        now = self._clock()
        job = replace(
            job,
            mode=result.mode,
            status=Status.SUCCEEDED,
            finished_at=now,
            progress_pct=100.0,
            avg_roc_auc=avg_roc_auc(result.scores),
            avg_roc_auc_null=avg_roc_auc_null(result.scores),
            dropped=result.dropped,
            note=result.note,
        )
        await self._outlet.emit(announcements.job_completed(job, now))
        await self._book.keep_job(job)

    async def _fail(self, job: JobRecord, reason: AppError) -> None:
        problem, now = Problem.of(reason), self._clock()
        log.warning("job failed", extra={"job_id": job.job_id, "reason": problem.message})
        await self._outlet.emit(announcements.job_failed(job, problem, now))
        await self._book.keep_job(
            replace(job, status=Status.FAILED, finished_at=now, error=problem)
        )

    async def _drop(self, job: JobRecord, reason: RunCancelled) -> None:
        problem, now = Problem.of(reason), self._clock()
        log.info("job cancelled", extra={"job_id": job.job_id})
        await self._outlet.emit(announcements.job_skipped(job, problem, now))
        await self._book.keep_job(
            replace(job, status=Status.CANCELLED, finished_at=now, error=problem)
        )

    def _holder(self, order: JobOrder, token: int) -> LockHolder:
        return LockHolder(
            run_id=order.run_id,
            source=order.source,
            mode=order.mode,
            holder=self._name,
            started_at=self._clock(),
            token=token,
        )


class WorkerLost(Permanent):
    """The job was delivered again and again, and nobody lived to say how it ended."""

    code = "worker_lost"


def _due(live: ModelRecord, lease: Lease) -> ModelRecord:
    """The live model, whose next training is to be a full one."""
    return replace(live, needs_full=True, token=lease.token, epoch=lease.epoch)


def _model(
    order: JobOrder,
    result: FitResult,
    sha256: str,
    descent: Descent,
    lease: Lease,
    now: datetime,
) -> ModelRecord:
    return ModelRecord(
        symbol=order.symbol,
        version=f"{now:%Y%m%dT%H%M%S}-{sha256[:8]}",
        sha256=sha256,
        size=len(result.artifact),
        created_at=now,
        timeframe=order.timeframe,
        horizons=result.horizons,
        mode=result.mode,
        run_id=order.run_id,
        token=lease.token,
        epoch=lease.epoch,
        candle_at=from_ms(result.candle_at_ms),
        rows=result.rows,
        scores=result.scores,
        libraries=result.libraries,
        verdict=result.verdict,
        native_sha256=descent.native_sha256,
        base_version=descent.base_version,
        base_at=descent.base_at,
        updates=descent.updates,
        needs_full=result.needs_full,
    )


def _attempt(model: ModelRecord, search: ParameterSearch) -> Evolution:
    found = {field.name: getattr(search, field.name) for field in fields(search)}
    return Evolution(at=model.created_at, run_id=model.run_id, model_version=model.version, **found)


def _reason(verdict: Verdict) -> Problem:
    return Problem(
        code="worse_than_live",
        message=(
            f"worse than {verdict.live_version} on {verdict.rows} candles unknown to both: "
            f"{verdict.excess:.4f} nats more log loss, above {verdict.excess_low:.4f} with 99 % "
            f"confidence; {verdict.margin:g} is allowed"
        ),
    )
