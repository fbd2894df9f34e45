"""What processes use, as the kernel counts it. Linux only: elsewhere there is nothing to read."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

#: In the command line of the fork server and of the children that it forks.
FORK_SERVER: Final = "services.trainer.adapters.forkserver"

_EVERY_S: Final = 0.05
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Peak:
    """MB; the largest seen so far."""

    pss: float = 0.0
    rss: float = 0.0


def descendants(of: int, naming: str = "") -> list[psutil.Process]:
    """The processes below one, those whose command line has the text."""
    with contextlib.suppress(psutil.NoSuchProcess):
        below = psutil.Process(of).children(recursive=True)
        return [process for process in below if naming in _command(process)]
    return []


def pss_mb(pids: Iterable[int]) -> float:
    """The sum of proportional set sizes: pages that several processes share are counted once, in
    parts. What has ended counts nothing.
    """
    return sum(_kilobytes(pid, "smaps_rollup", "Pss:") for pid in pids) / 1024


def rss_mb(pids: Iterable[int]) -> float:
    return sum(_kilobytes(pid, "status", "VmRSS:") for pid in pids) / 1024


def own_mb(pid: int) -> float:
    """The memory that a process has made itself, whoever else has the same files open."""
    return _kilobytes(pid, "status", "RssAnon:") / 1024


def cpu_seconds(pid: int) -> tuple[float, float]:
    """That a process has used itself, and that its children which have ended have used
    (proc_pid_stat(5), fields 14 to 17).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except FileNotFoundError:
        return 0.0, 0.0
    own, ended = fields[11:13], fields[13:15]
    return sum(map(int, own)) / _TICKS, sum(map(int, ended)) / _TICKS


@asynccontextmanager
async def watched(pids: Callable[[], Iterable[int]]) -> AsyncIterator[Peak]:
    """The peaks of the sums over the processes while the body runs."""
    peak = Peak()

    async def watch() -> None:
        while True:
            present = list(pids())
            peak.pss = max(peak.pss, pss_mb(present))
            peak.rss = max(peak.rss, rss_mb(present))
            await asyncio.sleep(_EVERY_S)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch())
        try:
            yield peak
        finally:
            task.cancel()


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _kilobytes(pid: int, file: str, field: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1])
    return 0
