"""What a training child might do instead of training. The symbol of the job says how."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from services.trainer.domain.failures import Unsound
from services.trainer.domain.jobs import FitJob, FitResult, Inputs, Progress
from shared.contracts.errors import InvalidSymbol, NotEnoughHistory
from shared.contracts.records import Score


def fit(job: FitJob, inputs: Inputs, progress: Progress) -> FitResult:
    progress(f"pid {os.getpid()}", 0.0)
    DEEDS[job.symbol](job)
    return result(job, inputs)


def result(job: FitJob, inputs: Inputs) -> FitResult:
    """An artifact that is the candles themselves."""
    return FitResult(
        artifact=inputs.candles,
        mode=job.mode,
        horizons=job.horizons,
        dropped=(),
        scores=(
            Score(
                horizon=1,
                learner="basic",
                roc_auc=None,
                roc_auc_interval=None,
                roc_auc_null=None,
                roc_auc_null_high=None,
                log_loss=0.7,
                brier=0.25,
                calibration_error=0.0,
                accuracy=0.5,
                base_rate=0.5,
                up_share=0.5,
                rows=10,
                effective_rows=10.0,
            ),
        ),
        rows=len(inputs.candles) // 48,
        candle_at_ms=0,
        libraries={"none": "0"},
    )


def _segfault(job: FitJob) -> None:
    ctypes.string_at(0)


def _hang(job: FitJob) -> None:
    time.sleep(3600)


def _hang_deaf(job: FitJob) -> None:
    """In native code, with every signal that can be ignored ignored."""
    for signum in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(signum, signal.SIG_IGN)
    ctypes.CDLL(None).sleep(3600)


def _eat_memory(job: FitJob) -> None:
    """Two gigabytes at most, should nothing hold it."""
    eaten = [bytearray(16 << 20) for _ in range(128)]
    del eaten


def _eat_memory_in_a_library(job: FitJob) -> None:
    raise RuntimeError("xgboost.core.XGBoostError: std::bad_alloc")


def _shout(job: FitJob) -> None:
    for fd in (1, 2):
        for _ in range(64):
            os.write(fd, b"x" * (1 << 16))
    print("x" * (1 << 20), file=sys.stderr)  # noqa: T201, that is the point


def _raise(error: Exception) -> Callable[[FitJob], None]:
    def deed(job: FitJob) -> None:
        raise error

    return deed


def _babble(job: FitJob) -> None:
    """Bytes that are no frame, on every open socket."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        if entry.is_socket():
            os.write(int(entry.name), b"\xff" * 100)
    time.sleep(3600)


def _start_thread(job: FitJob) -> None:
    """A thread that would keep an ordinary process alive."""
    threading.Thread(target=time.sleep, args=(3600,)).start()


DEEDS: dict[str, Callable[[FitJob], None]] = {
    "GOOD": lambda job: None,
    "SLOW": lambda job: time.sleep(0.3),
    "SEGFAULT": _segfault,
    "ABORT": lambda job: os.abort(),
    "KILLED": lambda job: os.kill(os.getpid(), signal.SIGKILL),
    "EXIT": lambda job: os._exit(0),
    "QUIT": lambda job: sys.exit(3),
    "HANG": _hang,
    "DEAF": _hang_deaf,
    "MEMORY": _eat_memory,
    "MEMORY-IN-A-LIBRARY": _eat_memory_in_a_library,
    "SHOUT": _shout,
    "BABBLE": _babble,
    "THREAD": _start_thread,
    "BUG": _raise(ZeroDivisionError("by nothing")),
    "YOUNG": _raise(NotEnoughHistory("3 days; 180 are needed")),
    "UNSOUND": _raise(Unsound("the trees differ")),
    "WORDED": _raise(InvalidSymbol("a b")),
}
