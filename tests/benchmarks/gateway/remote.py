"""A program of its own that does what it is told: a line of JSON in, a line of JSON out.

Whoever is measured must not share a process, and so an interpreter, with whoever measures.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import uvloop

_LONGEST_LINE: Final = 16 << 20
_ENDS_WITHIN_S: Final = 10.0

Command = Callable[..., Awaitable[object]]


class Remote:
    """One such program, started by `remote`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, command: str, /, **arguments: object) -> Any:
        """Have it do something, and wait for the answer. Raises RuntimeError: it has ended."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([command, arguments]).encode() + b"\n")
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the program that was asked to {command} has ended")
        return json.loads(line)


@asynccontextmanager
async def remote(module: str, *arguments: str) -> AsyncIterator[Remote]:
    """`python -m tests.benchmarks.gateway.<module>` for as long as the body runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.benchmarks.gateway.{module}", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
    )
    try:
        yield Remote(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        async with asyncio.timeout(_ENDS_WITHIN_S):
            await process.wait()


def obey(commands: Mapping[str, Command]) -> None:
    """Be such a program, until whoever started it ends."""
    uvloop.run(_obey(commands))


async def _obey(commands: Mapping[str, Command]) -> None:
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command, arguments = json.loads(line)
        answer = await commands[command](**arguments)
        os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")
