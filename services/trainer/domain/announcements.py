"""What is told of runs, jobs and models, made of their records; saying it twice is one event."""

from datetime import datetime

from shared.contracts.events import (
    JobCompleted,
    JobFailed,
    JobProgressed,
    JobSkipped,
    JobStarted,
    ModelPromoted,
    ModelRefused,
    ModelRolledBack,
    RunCompleted,
    RunFailed,
    RunRequested,
    RunSkipped,
    RunStarted,
)
from shared.contracts.records import (
    JobRecord,
    LockHolder,
    ModelRecord,
    Problem,
    RolledBack,
    RunRecord,
    Verdict,
)


def run_requested(run: RunRecord, at: datetime) -> RunRequested:
    return RunRequested(
        id=f"run.requested:{run.run_id}",
        at=at,
        run_id=run.run_id,
        mode=run.mode,
        source=run.source,
        total=run.total,
    )


def run_started(run: RunRecord, holder: str, at: datetime) -> RunStarted:
    """Once for each coordinator that conducts the run."""
    return RunStarted(
        id=f"run.started:{run.run_id}:{at.timestamp()}",
        at=at,
        run_id=run.run_id,
        mode=run.mode,
        source=run.source,
        total=run.total,
        batches=run.batches,
        holder=holder,
    )


def run_completed(run: RunRecord, at: datetime) -> RunCompleted:
    return RunCompleted(
        id=f"run.completed:{run.run_id}",
        at=at,
        run_id=run.run_id,
        mode=run.mode,
        source=run.source,
        total=run.total,
        done=run.done,
        failed=run.failed,
        skipped=run.skipped,
        duration_s=round((at - (run.started_at or at)).total_seconds(), 3),
    )


def run_failed(run: RunRecord, reason: Problem, at: datetime) -> RunFailed:
    return RunFailed(
        id=f"run.failed:{run.run_id}",
        at=at,
        run_id=run.run_id,
        mode=run.mode,
        source=run.source,
        error=reason,
    )


def run_skipped(
    run: RunRecord, reason: Problem, lock: LockHolder | None, at: datetime
) -> RunSkipped:
    return RunSkipped(
        id=f"run.skipped:{run.run_id}",
        at=at,
        run_id=run.run_id,
        mode=run.mode,
        source=run.source,
        reason=reason.message,
        lock=lock,
    )


def job_started(job: JobRecord, worker: str, at: datetime) -> JobStarted:
    """Once for each worker that begins with the job."""
    return JobStarted(
        id=f"job.started:{job.job_id}:{at.timestamp()}",
        at=at,
        run_id=job.run_id,
        symbol=job.symbol,
        mode=job.mode,
        worker=worker,
    )


def job_progressed(job: JobRecord, stage: str, done: float, at: datetime) -> JobProgressed:
    """`done` is the share of the job, from 0 to 1."""
    return JobProgressed(
        id=f"job.progressed:{job.run_id}:{job.symbol}:{at.timestamp()}",
        at=at,
        run_id=job.run_id,
        symbol=job.symbol,
        stage=stage,
        progress_pct=round(100 * done, 1),
    )


def job_completed(job: JobRecord, at: datetime) -> JobCompleted:
    return JobCompleted(
        id=f"job.completed:{job.job_id}",
        at=at,
        run_id=job.run_id,
        symbol=job.symbol,
        model_version=job.model_version,
        avg_roc_auc=job.avg_roc_auc,
        avg_roc_auc_null=job.avg_roc_auc_null,
        duration_s=job.duration_s or 0.0,
        refused=job.refused,
        mode=job.mode,
        dropped=job.dropped,
        note=job.note,
    )


def job_failed(job: JobRecord, reason: Problem, at: datetime) -> JobFailed:
    return JobFailed(
        id=f"job.failed:{job.job_id}",
        at=at,
        run_id=job.run_id,
        symbol=job.symbol,
        error=reason,
    )


def job_skipped(job: JobRecord, reason: Problem, at: datetime) -> JobSkipped:
    return JobSkipped(
        id=f"job.skipped:{job.job_id}",
        at=at,
        run_id=job.run_id,
        symbol=job.symbol,
        reason=reason.code,
    )


def model_promoted(model: ModelRecord, replaced: ModelRecord | None) -> ModelPromoted:
    return ModelPromoted(
        id=f"model.promoted:{model.symbol}:{model.version}",
        at=model.created_at,
        run_id=model.run_id,
        symbol=model.symbol,
        model_version=model.version,
        previous_version=replaced.version if replaced else None,
        token=model.token,
        avg_roc_auc=model.avg_roc_auc,
        avg_roc_auc_null=model.avg_roc_auc_null,
    )


def model_rolled_back(model: ModelRecord, how: RolledBack) -> ModelRolledBack:
    return ModelRolledBack(
        id=f"model.rolled_back:{model.symbol}:{model.version}:{model.token}",
        at=how.at,
        symbol=model.symbol,
        model_version=model.version,
        previous_version=how.from_version,
        token=model.token,
    )


def model_refused(
    job: JobRecord, sha256: str, reason: Problem, verdict: Verdict, at: datetime
) -> ModelRefused:
    return ModelRefused(
        id=f"model.refused:{job.job_id}:{sha256}",
        at=at,
        run_id=job.run_id,
        symbol=job.symbol,
        sha256=sha256,
        reason=reason,
        verdict=verdict,
    )
