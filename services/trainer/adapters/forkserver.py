"""The process that training children are forked from: everything imported, nothing begun.

`python -m services.trainer.adapters.forkserver FD ENTRY MEMORY_MB`, started by `pool`, which holds
the other end of the socket FD. ENTRY is what trains. The server says `W` when it is warm. Each byte
that it then receives comes with two sockets: one that the child is to serve, one on which the
server states the child's process id and, at its end, its wait status. When the socket is closed, as
it is however the trainer dies, the server kills its children and ends.

Not `multiprocessing`: that would import the trainer's main module into every child, pickle, and
keep one more process; here a child costs a fork. The server has one thread, always; without that
the learning libraries hang in a forked child.

A job is the least important thing on the machine (SCHED_IDLE), cannot outlive the server, and
cannot take more memory than its cap, beside what `prepare` in the module of ENTRY takes before, if
there is one. A signal to the whole process group ends no child: the trainer
decides how a job ends.
"""

import contextlib
import gc
import importlib
import os
import resource
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from services.trainer.adapters import frames
from services.trainer.adapters.frames import Kind
from services.trainer.domain.failures import Crashed, OutOfMemory
from services.trainer.domain.jobs import DriftJob, FitJob, FitResult, Inputs, Progress
from shared.contracts.errors import AppError
from shared.contracts.quality import DriftMeasurement
from shared.runtime.process import die_with_parent

Entry = Callable[[FitJob, Inputs, Progress], FitResult]
Measure = Callable[[DriftJob, Inputs], DriftMeasurement]
Prepare = Callable[[], None]

WARM: Final = b"W"
FORK: Final = b"F"

#: A process id, or a wait status.
NUMBER: Final = struct.Struct("<i")

#: What looks for drift. Imported by name, as ENTRY is: the trainer reads this module too, and keeps
#: numpy out of its own process.
_DRIFT: Final = "services.trainer.domain.drift"

#: What the libraries say when they are refused memory.
_REFUSALS: Final = ("bad_alloc", "bad allocation", "cannot allocate memory", "out of memory")


def main(fd: int, entry: str, memory_mb: int) -> None:
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    path, _, name = entry.partition(":")
    module = importlib.import_module(path)
    function: Entry = getattr(module, name)
    prepare: Prepare = getattr(module, "prepare", lambda: None)
    importlib.import_module(_DRIFT)
    gc.collect()
    gc.freeze()
    # Not before the imports: beside busy processes these would take minutes instead of a second.
    _yield_to_everyone()
    with socket.socket(fileno=fd) as control:
        server = _Server(control, function, prepare, memory_mb)
        with contextlib.suppress(ConnectionError):  # the trainer is gone
            control.sendall(WARM)
            server.serve()
        server.end()


def _yield_to_everyone() -> None:
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):
        os.nice(19)


class _Server:
    """`_children` are the running ones, each with the socket that its status is due on."""

    def __init__(
        self, control: socket.socket, entry: Entry, prepare: Prepare, memory_mb: int
    ) -> None:
        self._control = control
        self._entry = entry
        self._prepare = prepare
        self._memory_mb = memory_mb
        self._children: dict[int, socket.socket] = {}
        self._woken, waking = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(waking, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waking)

    def serve(self) -> None:
        """Until the trainer hangs up."""
        control = self._control.fileno()
        while True:
            ready, _, _ = select.select([control, self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 512)
                self._reap()
            if control in ready:
                said, fds, _, _ = socket.recv_fds(self._control, 1, 2)
                if said != FORK:
                    return
                self._fork(*(socket.socket(fileno=fd) for fd in fds))

    def end(self) -> None:
        for child in self._children:
            os.kill(child, signal.SIGKILL)
        for child in self._children:
            os.waitpid(child, 0)

    def _fork(self, connection: socket.socket, status: socket.socket) -> None:
        server = os.getpid()
        child = os.fork()
        if not child:
            self._become_child(server, status)
            _work(connection, self._entry, self._prepare, self._memory_mb)
        connection.close()
        self._children[child] = status
        _state(status, child)

    def _become_child(self, server: int, status: socket.socket) -> None:
        """Let go of everything that is the server's."""
        die_with_parent(signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in (self._control, status, *self._children.values()):
            other.close()

    def _reap(self) -> None:
        while self._children:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                return
            with self._children.pop(child) as due:
                _state(due, status)


def _state(status: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody is waiting for it any more
        status.sendall(NUMBER.pack(number))


def _work(connection: socket.socket, entry: Entry, prepare: Prepare, memory_mb: int) -> NoReturn:
    """Do the one job of this process. Nothing that the libraries print is wanted."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    code = 1
    try:
        prepare()
        kind, job = frames.receive(connection, Kind.JOB, Kind.DRIFT)
        _, payload = frames.receive(connection, Kind.INPUTS)
        inputs = frames.decode_inputs(payload)

        def work() -> bytes:
            if kind is Kind.DRIFT:
                measure: Measure = importlib.import_module(_DRIFT).measure
                return frames.encode_measurement(measure(frames.decode_drift_job(job), inputs))
            return frames.encode_result(entry(frames.decode_job(job), inputs, progress))

        def progress(stage: str, done: float) -> None:
            connection.sendall(frames.frame(Kind.PROGRESS, frames.encode_progress(stage, done)))

        connection.sendall(_answer(work, memory_mb))
        code = 0
    finally:
        os._exit(code)


def _answer(work: Callable[[], bytes], memory_mb: int) -> bytes:
    _cap_memory(memory_mb)
    try:
        return frames.frame(Kind.RESULT, work())
    except Exception as exc:  # noqa: BLE001, the outcome of the job, whatever it is
        _uncap_memory()
        return frames.frame(Kind.ERROR, frames.encode_error(_outcome(exc, memory_mb)))


def _outcome(exc: Exception, memory_mb: int) -> AppError:
    if isinstance(exc, AppError):
        return exc
    text = f"{type(exc).__name__}: {exc}"
    if isinstance(exc, MemoryError) or any(said in text.lower() for said in _REFUSALS):
        return OutOfMemory(f"the training needs more than its {memory_mb} MB: {text[:200]}")
    place = traceback.extract_tb(exc.__traceback__)[-1]
    return Crashed(f"{text[:400]} ({Path(place.filename).name}:{place.lineno})")


def _cap_memory(memory_mb: int) -> None:
    """Let this process take `memory_mb` beyond what it has; more is refused, which the libraries
    turn into errors. Not the address space: catboost aborts when that is limited.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(FileNotFoundError):  # no /proc: not on this system
        status = Path("/proc/self/status").read_text()
        (data_kb,) = (int(line.split()[1]) for line in status.splitlines() if "VmData" in line)
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, ((data_kb << 10) + (memory_mb << 20), most))


def _uncap_memory() -> None:
    """So that there is some to say so."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
