"""Somebody who knows our documentation and has the NATS CLI, or a client that stands in for it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_STAND_IN: Final = Path(__file__).parent.parent / "wire" / "nats.mjs"
_PATIENCE_S: Final = 60.0

#: Missing where `make wire` had no npm, or no package index.
CLIENT: Final = _STAND_IN.parent / "node_modules" / "nats"

Event = dict[str, Any]


class Refused(Exception):
    """The command ended badly; the message is what it said."""


@dataclass(frozen=True)
class Stranger:
    """`url` is all that it was told about the system."""

    url: str

    async def nats(self, *arguments: str) -> str:
        """What the command printed.

        Raises:
            Refused: its exit code is not 0.
        """
        process = await self._start(*arguments)
        async with asyncio.timeout(_PATIENCE_S):
            out, err = await process.communicate()
        if process.returncode != 0:
            raise Refused(err.decode().strip())
        return out.decode().removesuffix("\n")

    async def records(self, *arguments: str) -> list[dict[str, Any]]:
        """The lines that the command printed, each a record in JSON."""
        return [json.loads(line) for line in (await self.nats(*arguments)).splitlines()]

    @asynccontextmanager
    async def listening(self, subject: str) -> AsyncIterator["Ear"]:
        """`nats sub SUBJECT` while the body runs; it hears from the body's beginning."""
        process = await self._start("sub", subject)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"\n"
        ear = Ear()
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(ear.hear(process.stdout))
            try:
                yield ear
            finally:
                hearing.cancel()
                process.kill()
                await process.wait()

    async def _start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            _STAND_IN,
            *("--server", self.url, *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


@dataclass
class Ear:
    """Every event that was heard, with the subject that it came by."""

    events: list[tuple[str, Event]] = field(default_factory=list)
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def hear(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            subject, _, payload = line.decode().partition(" ")
            async with self._more:
                self.events.append((subject, json.loads(payload)))
                self._more.notify_all()

    async def heard(self, claim: Callable[[Event], bool]) -> Event:
        """The first event of which the claim is true, now or later."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S), self._more:
                while True:
                    for _, event in self.events:
                        if claim(event):
                            return event
                    await self._more.wait()
        last = "\n".join(str(event) for _, event in self.events[-10:])
        raise AssertionError(f"not heard within {_PATIENCE_S} s; the last that was:\n{last}")

    def of(self, run_id: str) -> list[Event]:
        return [event for _, event in self.events if event.get("run_id") == run_id]
