"""Who is running: a question to everyone, and everyone's answer."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

import nats.errors
import psutil
from nats.aio.msg import Msg

from shared.bus.connection import Connection
from shared.contracts import codec
from shared.contracts.errors import MalformedMessage
from shared.contracts.records import Problem
from shared.contracts.reports import ServiceReport
from shared.contracts.symbols import Symbol
from shared.runtime.clock import Clock, utc_now

_SUBJECT: Final = "evertrain.survey"
_LAG_PERIOD_S: Final = 0.5


class Reporter:
    """This process, as it reports itself. `problems`, `figures` and `children`, the ids of the
    processes that it has started, are asked at each report.
    """

    def __init__(
        self,
        service: str,
        version: str,
        *,
        problems: Callable[[], tuple[Problem, ...]] = tuple,
        figures: Callable[[], dict[str, float]] = dict,
        watched: Callable[[], tuple[Symbol, ...]] = tuple,
        children: Callable[[], Iterable[int]] = tuple,
        clock: Clock = utc_now,
    ) -> None:
        self.service = service
        self.instance = f"{service}-{socket.gethostname()}-{os.getpid()}"
        #: Whether this process can do its work; its `__main__` sets it.
        self.ready = False
        self._version = version
        self._problems = problems
        self._figures = figures
        self._watched = watched
        self._children = children
        self._clock = clock
        self._started_at: datetime = clock()
        self._lag_ms = 0.0

    async def report_itself(self, connection: Connection, stop: asyncio.Event) -> None:
        """A worker: answer surveys, and measure how late this process's event loop runs."""

        async def answer(message: Msg) -> None:
            memory = await asyncio.to_thread(_memory, os.getpid(), *self._children())
            report = self._report(*memory)
            with contextlib.suppress(nats.errors.Error, OSError):
                await message.respond(codec.encode(report))

        subscription = await connection.client.subscribe(_SUBJECT, cb=answer)
        while not stop.is_set():
            asked = time.monotonic()
            await asyncio.sleep(_LAG_PERIOD_S)
            late = (time.monotonic() - asked - _LAG_PERIOD_S) * 1000
            self._lag_ms = max(late, self._lag_ms * 0.9)
        with contextlib.suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()

    def _report(self, memory_mb: float, *children_mb: float) -> ServiceReport:
        return ServiceReport(
            service=self.service,
            instance=self.instance,
            version=self._version,
            pid=os.getpid(),
            host=socket.gethostname(),
            started_at=self._started_at,
            at=self._clock(),
            ready=self.ready,
            memory_mb=memory_mb,
            children_mb=round(sum(children_mb, 0.0), 1),
            loop_lag_ms=round(self._lag_ms, 2),
            problems=self._problems(),
            figures=self._figures(),
            watched=self._watched(),
        )


async def survey(connection: Connection, *, within: float = 0.5) -> list[ServiceReport]:
    """The reports of everyone who answers in time, by service and then by instance."""
    reports: list[ServiceReport] = []

    async def arrive(message: Msg) -> None:
        with contextlib.suppress(MalformedMessage):
            reports.append(codec.decode(message.data, ServiceReport))

    with contextlib.suppress(nats.errors.Error, OSError):
        inbox = connection.client.new_inbox()
        subscription = await connection.client.subscribe(inbox, cb=arrive)
        try:
            await connection.client.publish(_SUBJECT, reply=inbox)
            await asyncio.sleep(within)
        finally:
            await subscription.unsubscribe()
    return sorted(reports, key=lambda report: (report.service, report.instance))


def _memory(*pids: int) -> tuple[float, ...]:
    """Of each process, in MiB."""
    return tuple(map(_memory_mb, pids))


def _memory_mb(pid: int) -> float:
    """In MiB; nothing for a process that has ended."""
    try:
        return round(psutil.Process(pid).memory_info().rss / (1 << 20), 1)
    except psutil.Error:
        return 0.0
