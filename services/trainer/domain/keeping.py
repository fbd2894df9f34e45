"""What the run book keeps when a record is written over another one.

Run and job have one owner at a time, but an owner may be a zombie, frozen while another took over,
and anybody may ask for the end of a run. So what is written is decided from what stands there.
"""

from dataclasses import replace

from shared.contracts.records import JobRecord, RunRecord


def kept_run(stored: RunRecord | None, written: RunRecord) -> RunRecord:
    """A run that has ended stays as it ended; that its end was asked for is never forgotten."""
    if stored is None or stored == written:
        return written
    if stored.status.final:
        return stored
    return replace(
        written,
        cancel_requested_at=written.cancel_requested_at or stored.cancel_requested_at,
    )


def kept_job(stored: JobRecord | None, written: JobRecord) -> JobRecord:
    """A job that has ended stays as it ended."""
    return stored if stored is not None and stored.status.final else written
