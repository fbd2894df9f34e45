"""Keeping processes running, and stopping them together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.runtime.tasks import alongside, stopped_within

log = logging.getLogger(__name__)


class Running(Protocol):
    """A process that was started. Signals to one that has ended are ignored."""

    async def ended(self) -> int:
        """Its exit code; negative for the signal that killed it."""

    def terminate(self) -> None:
        """Ask it to stop."""

    def kill(self) -> None:
        """End it and whatever it has started, dead or alive."""


Start = Callable[[], Awaitable[Running]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Times in seconds."""

    first_delay: float = 0.25
    most_delay: float = 15.0
    #: A process that lived this long was healthy: its next restart is a first one.
    healthy_after: float = 30.0


class Restarts:
    """How long to wait before a process is started again: longer each time that it dies young."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._young_deaths = 0

    def delay_after(self, lived: float) -> float:
        """Seconds to wait after a process has ended that lived for `lived` seconds."""
        if lived >= self._patience.healthy_after:
            self._young_deaths = 0
        delay = self._patience.first_delay * 2.0**self._young_deaths
        if delay < self._patience.most_delay:
            self._young_deaths += 1
        return min(delay, self._patience.most_delay)


class Stop:
    """What the person at the terminal wants: the first signal asks to stop, a later one hurries."""

    #: `make` and shells may pass one Ctrl-C on a second time; nobody presses twice within this.
    _SAME_PRESS_S = 1.0

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()
        self._asked_at = 0.0

    def signalled(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self.asked.is_set():
            self._asked_at = now
            self.asked.set()
        elif now - self._asked_at > self._SAME_PRESS_S:
            self.hurried.set()


class Child:
    """One process, started again whenever it ends."""

    def __init__(self, name: str, start: Start, patience: Patience) -> None:
        self.name = name
        self._start = start
        self._restarts = Restarts(patience)
        self._process: Running | None = None

    async def keep_running(self, stop: asyncio.Event) -> None:
        """Until `stop` is set and the process has ended; cancelling kills it at once."""
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            started = loop.time()
            code = await self._run_once(stop)
            if stop.is_set():
                return
            delay = self._restarts.delay_after(loop.time() - started)
            log.error(
                "the %s ended; starting it again in %.1f s",
                self.name,
                delay,
                extra={"exit_code": code},
            )
            await stopped_within(stop, delay)

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        if self._process is not None:
            log.warning("the %s did not stop in time: killed", self.name)
            self._process.kill()

    async def _run_once(self, stop: asyncio.Event) -> int:
        self._process = await self._start()
        try:
            if stop.is_set():
                self._process.terminate()
            return await self._process.ended()
        finally:
            self._process.kill()
            self._process = None


async def keep_all_running(children: Sequence[Child], stop: Stop, *, grace: float) -> None:
    """Run the children until a stop is asked for, then end them.

    All are asked to stop, the last one first. Those still running after `grace` seconds, or as soon
    as the stop is hurried, are killed.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(child.keep_running(stop.asked), name=child.name) for child in children
        ]
        await stop.asked.wait()
        for child in reversed(children):
            child.terminate()
        async with alongside(_kill_the_late(children, stop, grace), name="grace"):
            await asyncio.wait(tasks)


async def _kill_the_late(children: Sequence[Child], stop: Stop, grace: float) -> None:
    await stopped_within(stop.hurried, grace)
    for child in children:
        child.kill()
