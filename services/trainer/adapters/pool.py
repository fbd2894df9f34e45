"""Training in child processes, seen from the event loop: one child per job, never in its way."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from services.trainer.adapters import frames
from services.trainer.adapters.forkserver import FORK, NUMBER, WARM
from services.trainer.adapters.frames import Garbled, Kind
from services.trainer.domain.failures import Crashed, DeadlineExceeded
from services.trainer.domain.jobs import DriftJob, FitJob, FitResult, Inputs, Progress
from shared.contracts.errors import TrainingFailed
from shared.contracts.quality import DriftMeasurement
from shared.runtime.tasks import stopped_within

T = TypeVar("T")

_FIT: Final = "services.trainer.fit:fit"

#: Importing the libraries takes a second of CPU time, which a busy machine gives late.
_WARM_UP_S: Final = 120.0

#: How long a fork, and the end of a process that was told to end, may take.
_BRIEFLY_S: Final = 10.0
#: The niceness of those that SCHED_IDLE is refused to.
_LOWEST: Final = 19

#: The libraries read these when they are imported.
_ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


@dataclass(frozen=True, slots=True)
class _Task(Generic[T]):
    """What a child is told to do, and how its answer is read. `answer` raises Garbled."""

    kind: Kind
    order: bytes
    answer: Callable[[bytes], T]


class TrainingPool:
    """At most `processes` jobs at once, each in a child with `memory_mb` of its own.

    As a context manager it starts the fork server on entering, without waiting until that is warm,
    and ends it on leaving. A fork server that has died, or was sent to rest, is replaced when the
    next job comes.
    """

    def __init__(self, processes: int, *, memory_mb: int, entry: str = _FIT) -> None:
        self._slots = asyncio.Semaphore(processes)
        self._looking = asyncio.Lock()
        self._starting = asyncio.Lock()
        self._memory_mb = memory_mb
        self._entry = entry
        self._server: _ForkServer | None = None
        self._busy = 0
        self._idle_since = 0.0

    async def __aenter__(self) -> Self:
        self._idle_since = asyncio.get_running_loop().time()
        await self._fork_server()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            await self._server.close()

    async def run(
        self, job: FitJob, inputs: Inputs, *, deadline_s: float, on_progress: Progress
    ) -> FitResult:
        """Train in a child process, once there is room for it.

        The deadline counts from the start of the child. Cancelling kills the child.

        Raises:
            TrainingFailed: `Crashed`, `DeadlineExceeded`, `OutOfMemory` or `Unsound`.
            AppError: what the training itself raised, such as `NotEnoughHistory`.
        """
        task = _Task(Kind.JOB, frames.encode_job(job), frames.decode_result)
        async with self._slots:
            return await self._done(task, inputs, deadline_s, on_progress)

    async def measure(
        self, job: DriftJob, inputs: Inputs, *, deadline_s: float
    ) -> DriftMeasurement:
        """Look for drift in a child process. One at a time, beside those that train: neither waits
        for the other, and a look takes a fraction of the time and memory of a training.

        Raises:
            TrainingFailed: as in `run`.
            AppError: what the look itself raised, such as `NotEnoughHistory`.
        """
        task = _Task(Kind.DRIFT, frames.encode_drift_job(job), frames.decode_measurement)
        async with self._looking:
            return await self._done(task, inputs, deadline_s, lambda stage, done: None)

    async def _done(
        self, task: "_Task[T]", inputs: Inputs, deadline_s: float, on_progress: Progress
    ) -> T:
        async with self._working():
            server = await self._fork_server()
            async with server.child() as child:
                try:
                    async with asyncio.timeout(deadline_s):
                        return await child.do(task, inputs, on_progress)
                except TimeoutError as exc:
                    raise DeadlineExceeded(
                        f"the training process took longer than {deadline_s:g} s and was ended"
                    ) from exc

    def pids(self) -> list[int]:
        """Of the processes that there are: the fork server's, and those of its children."""
        return self._server.pids() if self._server else []

    async def isolation(self) -> "Isolation":
        """How the children really run, as the kernel sees it."""
        async with self._working():
            server = await self._fork_server()
            await server.warm()
            seen = await asyncio.to_thread(scheduling, server.pid)
        return replace(seen, summary=f"{seen.summary}, at most {self._memory_mb} MB more per job")

    async def rest_when_idle(self, stop: asyncio.Event, *, after_s: float = 60.0) -> None:
        """A worker: end the fork server when there was no job for `after_s`. It holds the memory
        of three learning libraries, and importing them again takes a second.
        """
        while not await stopped_within(stop, after_s / 4):
            async with self._starting:
                idle_s = asyncio.get_running_loop().time() - self._idle_since
                if self._server is not None and not self._busy and idle_s > after_s:
                    server, self._server = self._server, None
                    await server.close()

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        """The fork server is needed while the body runs."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._idle_since = asyncio.get_running_loop().time()

    async def _fork_server(self) -> "_ForkServer":
        async with self._starting:
            if self._server is not None and self._server.ended:
                await self._server.close()
                self._server = None
            if self._server is None:
                self._server = await _ForkServer.start(self._entry, self._memory_mb)
        return self._server


class _ForkServer:
    """A running `forkserver`."""

    def __init__(self, process: Process, control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._warming = asyncio.Lock()
        self._warm: bool | None = None
        self._children: set[_Child] = set()

    @classmethod
    async def start(cls, entry: str, memory_mb: int) -> Self:
        control, theirs = socket.socketpair()
        control.setblocking(False)
        with contextlib.ExitStack() as undo, theirs:
            undo.enter_context(control)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.trainer.adapters.forkserver",
                str(theirs.fileno()),
                entry,
                str(memory_mb),
                pass_fds=(theirs.fileno(),),
                stdin=DEVNULL,
                stdout=DEVNULL,
                env={**os.environ, **_ONE_THREAD},
            )
            undo.pop_all()
        return cls(process, control)

    @property
    def pid(self) -> int:
        return self._process.pid

    def pids(self) -> list[int]:
        children = (child.pid for child in self._children)
        return [self._process.pid, *(pid for pid in children if pid is not None)]

    @property
    def ended(self) -> bool:
        """Asked of the socket, which knows it before the event loop does."""
        try:
            return not self._control.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    async def warm(self) -> None:
        """Wait until everything is imported.

        Raises:
            Crashed: it is not, and will not be.
        """
        async with self._warming:
            if self._warm is None:
                self._warm = await self._says_so()
            if not self._warm:
                await self.close()
                raise Crashed("the fork server did not start; what it wrote says why")

    async def _says_so(self) -> bool:
        try:
            async with asyncio.timeout(_WARM_UP_S):
                return await asyncio.get_running_loop().sock_recv(self._control, 1) == WARM
        except (TimeoutError, ConnectionError):
            return False

    @asynccontextmanager
    async def child(self) -> AsyncIterator["_Child"]:
        """A new child, which has ended when the body has.

        Raises:
            Crashed: the fork server has died.
        """
        await self.warm()
        async with _channel() as (reader, writer, its_end), _channel() as (stated, _, its_status):
            with its_end, its_status:
                try:
                    fds = [its_end.fileno(), its_status.fileno()]
                    socket.send_fds(self._control, [FORK], fds)
                except OSError as exc:
                    raise Crashed("the fork server has died") from exc
            child = _Child(reader, writer, stated)
            self._children.add(child)
            try:
                yield child
            finally:
                self._children.discard(child)
                await child.end()

    async def close(self) -> None:
        """End it, and every child with it."""
        self._control.close()
        try:
            async with asyncio.timeout(_BRIEFLY_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class _Child:
    """One job in its process: `stated` is what the fork server says about it."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, stated: StreamReader) -> None:
        self._reader = reader
        self._writer = writer
        self._stated = stated
        self.pid: int | None = None
        self._status: int | None = None

    async def do(self, task: "_Task[T]", inputs: Inputs, on_progress: Progress) -> T:
        """Hand the task over and hear the child out.

        Raises:
            AppError: what the child raised, or `Crashed` if it ended otherwise.
        """
        self.pid = await self._number()
        self._writer.write(frames.frame(task.kind, task.order))
        self._writer.write(frames.frame(Kind.INPUTS, frames.encode_inputs(inputs)))
        try:
            return task.answer(await self._hear(on_progress))
        except Garbled as exc:
            raise Crashed(f"the training process gave no proper answer: {exc}") from exc
        except (IncompleteReadError, ConnectionError) as exc:
            raise Crashed(f"the training process {await self._end()}") from exc

    async def _hear(self, on_progress: Progress) -> bytes:
        while True:
            kind, payload = await frames.read(self._reader)
            match kind:
                case Kind.PROGRESS:
                    on_progress(*frames.decode_progress(payload))
                case Kind.RESULT:
                    return payload
                case Kind.ERROR:
                    raise frames.decode_error(payload)
                case _:
                    raise Garbled(f"a frame of kind {kind.name}")

    async def end(self) -> None:
        """Kill it unless it has ended by itself, and wait until it has."""
        with contextlib.suppress(TrainingFailed, TimeoutError):
            async with asyncio.timeout(_BRIEFLY_S):
                if self.pid is None:
                    self.pid = await self._number()
                if self._status is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self.pid, signal.SIGKILL)
                    self._status = await self._number()

    async def _end(self) -> str:
        """How it ended, now that it has let go of its socket."""
        try:
            async with asyncio.timeout(_BRIEFLY_S):
                self._status = await self._number()
        except TimeoutError:
            return "closed its connection without an answer"
        code = os.waitstatus_to_exitcode(self._status)
        if code >= 0:
            return f"ended with exit code {code} and without an answer"
        name = signal.Signals(-code).name
        cause = ", as the kernel does when memory runs out" if -code == signal.SIGKILL else ""
        return f"was killed by {name}{cause}"

    async def _number(self) -> int:
        """What the fork server states next: the process id, then the wait status.

        Raises:
            Crashed: the fork server has died, and with it the child.
        """
        try:
            (number,) = NUMBER.unpack(await self._stated.readexactly(NUMBER.size))
        except (IncompleteReadError, ConnectionError) as exc:
            raise Crashed("the fork server has died, and with it the training process") from exc
        return int(number)


@asynccontextmanager
async def _channel() -> AsyncIterator[tuple[StreamReader, StreamWriter, socket.socket]]:
    """A stream, and the socket that is its other end."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        try:
            yield reader, writer, theirs
        finally:
            writer.close()


@dataclass(frozen=True, slots=True)
class Isolation:
    """`summary`: priority, threads and memory. `competes`: they take time from everybody else."""

    summary: str
    competes: bool


def scheduling(pid: int) -> Isolation:
    """The scheduling of a process, from `/proc` (proc_pid_stat(5): fields 19, 20 and 41)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return Isolation("priority not known on this system", competes=False)
    nice, threads, policy = (int(fields[number - 3]) for number in (19, 20, 41))
    idle = sys.platform == "linux" and policy == os.SCHED_IDLE
    seen = f"{'SCHED_IDLE' if idle else f'nice {nice}'}, {threads} thread{'s' * (threads > 1)}"
    return Isolation(seen, competes=not idle and nice < _LOWEST)
