"""A run on the screen: a bar on a terminal, one line per change anywhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from evertrain.output import duration
from evertrain.progress import Progress
from shared.contracts.terms import Status
from shared.runtime.clock import utc_now

_MOST_NAMED = 4


class Display(Protocol):
    def update(self, progress: Progress) -> None: ...

    def note(self, text: str) -> None: ...


@contextmanager
def display(out: Console) -> Iterator[Display]:
    if not out.is_terminal:
        yield Lines(out)
        return
    bars = Bars(
        SpinnerColumn(),
        BarColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=out,
    )
    with bars:
        yield Bar(bars)


class Bar:
    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task = bars.add_task("waiting for a trainer", total=None)

    def update(self, progress: Progress) -> None:
        self._bars.update(
            self._task,
            total=progress.total or None,
            completed=progress.ended,
            description=sentence(progress, progress.eta_s(utc_now())),
        )

    def note(self, text: str) -> None:
        self._bars.console.print(text)


class Lines:
    """Says each thing once, and leaves the end to the summary."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._said: tuple[int, Status | None] = (0, None)

    def update(self, progress: Progress) -> None:
        state = (progress.ended, progress.run.status if progress.run else None)
        if state != self._said and not progress.finished:
            self._said = state
            self._out.print(sentence(progress, progress.eta_s(utc_now())))

    def note(self, text: str) -> None:
        self._out.print(text)


def sentence(progress: Progress, eta_s: float | None) -> str:
    """`3 of 4 done, 1 failed, batch 1 of 1, 12 s left, training MSFT`"""
    if progress.run is None or progress.run.status is Status.QUEUED:
        return "waiting for its turn"
    parts = [f"{progress.ended} of {progress.total} done"]
    if progress.failed:
        parts.append(f"{len(progress.failed)} failed")
    if not progress.finished:
        parts.append(f"batch {progress.batch} of {progress.batches}")
        if eta_s is not None:
            parts.append(f"{duration(eta_s)} left")
        if progress.training:
            parts.append("training " + _names(progress))
    return ", ".join(parts)


def _names(progress: Progress) -> str:
    named = progress.training[:_MOST_NAMED]
    more = len(progress.training) - len(named)
    return " ".join(named) + (f" and {more} more" if more else "")
