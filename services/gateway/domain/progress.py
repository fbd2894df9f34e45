"""The run in progress, as its events tell it."""

from dataclasses import replace

from shared.contracts.events import (
    Event,
    RunCompleted,
    RunFailed,
    RunProgressed,
    RunSkipped,
    RunStarted,
)
from shared.contracts.records import CurrentRun


def advanced(current: CurrentRun | None, event: Event) -> CurrentRun | None:
    """The current run after `event`. Only one run holds the training lock, so there is one."""
    match event:
        case RunStarted():
            return _started(event)
        case RunProgressed() if current and current.run_id == event.run_id:
            return replace(
                current,
                total=event.total,
                done=event.done,
                failed=event.failed,
                skipped=event.skipped,
                progress_pct=event.progress_pct,
                eta_s=event.eta_s,
                batch=event.batch,
                batches=event.batches,
            )
        case RunCompleted() | RunFailed() | RunSkipped():
            return None if current and current.run_id == event.run_id else current
        case _:
            return current


def _started(event: RunStarted) -> CurrentRun:
    return CurrentRun(
        run_id=event.run_id,
        source=event.source,
        mode=event.mode,
        started_at=event.at,
        total=event.total,
        done=0,
        failed=0,
        skipped=0,
        progress_pct=0.0,
        eta_s=None,
        batch=0,
        batches=event.batches,
    )
