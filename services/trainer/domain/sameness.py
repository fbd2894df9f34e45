"""When a request asks for what another run has done for it already."""

from collections.abc import Iterable

from shared.contracts.records import RunRecord
from shared.contracts.terms import Status


def same_run(run: RunRecord, others: Iterable[RunRecord]) -> RunRecord | None:
    """A run of the same mode and at least these symbols, which still waited when `run` was asked
    for. It began later, so it knew every candle that `run` was meant to learn from.
    """
    return next((other for other in others if _did_the_work(other, run)), None)


def _did_the_work(other: RunRecord, run: RunRecord) -> bool:
    return (
        other.run_id != run.run_id
        and other.mode is run.mode
        and other.status is not Status.CANCELLED
        and other.error is None
        and other.started_at is not None
        and run.requested_at <= other.started_at
        and set(run.symbols) <= set(other.symbols)
    )
