"""Child processes: started in a group of their own, heard line by line, ended with their group."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.runtime.process import PARENT_VARIABLE, in_own_group

#: A line longer than this is passed on in pieces.
_LONGEST_LINE: Final = 64 << 10
#: How long what was written before the end may take to be heard.
_LAST_WORDS_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start. `hear` is given each line that the process or its children write."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    hear: Callable[[str], None]


class ChildProcess:
    """A running process and the group that it leads."""

    def __init__(self, process: Process, listening: asyncio.Task[None]) -> None:
        self._process = process
        self._listening = listening

    @classmethod
    async def start(cls, command: Command) -> "ChildProcess":
        """Its signals come from us alone, and it dies with us even if we are killed."""
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command.arguments,
                env={**command.environment, PARENT_VARIABLE: str(os.getpid())},
                stdin=DEVNULL,
                # Not PIPE: asyncio would take a process for running for as long as a grandchild
                # holds its pipe open.
                stdout=writing,
                stderr=writing,
                preexec_fn=in_own_group,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return cls(process, asyncio.create_task(_listen(reading, command.hear)))

    async def ended(self) -> int:
        code = await self._process.wait()
        self.kill()
        # Whoever has left the group may hold the pipe for as long as it likes.
        await asyncio.wait({self._listening}, timeout=_LAST_WORDS_S)
        self._listening.cancel()
        return code

    def terminate(self) -> None:
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, signum: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signum)


async def _listen(reading: int, hear: Callable[[str], None]) -> None:
    """Until every process that holds the other end has closed it."""
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", 0)
    )
    with contextlib.closing(transport):
        while line := await _next_line(reader):
            hear(line.decode(errors="replace").rstrip())


async def _next_line(reader: asyncio.StreamReader) -> bytes:
    """Empty at the end."""
    try:
        return await reader.readuntil()
    except asyncio.IncompleteReadError as end:
        return end.partial
    except asyncio.LimitOverrunError as long:
        return await reader.readexactly(long.consumed)
