"""How every service process begins and ends."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, NoReturn

import uvloop

from shared.contracts.errors import AppError
from shared.runtime import logs
from shared.runtime.process import die_with_supervisor
from shared.runtime.settings import Environment, environment

log = logging.getLogger(__name__)

#: Reads its settings, opens what it needs in start-up order, and works until it is told to stop.
Main = Callable[[Environment], Coroutine[Any, Any, None]]


def run(service: str, main: Main) -> NoReturn:
    """Run one service to its end.

    Exits 0 after SIGTERM or SIGINT, 2 with one line when something must be mended first (a setting,
    a file, an address in use), and 1 with a traceback, in the one line, on a bug.
    """
    die_with_supervisor()
    logs.configure(service)
    sys.excepthook = _tell_bug
    told = asyncio.Event()
    try:
        uvloop.run(_stoppable(main, told))
    except* AppError as group:
        log.error("%s", _first(group))
        sys.exit(2)
    except* asyncio.CancelledError:
        sys.exit(0 if told.is_set() else 1)
    sys.exit(0)


async def _stoppable(main: Main, told: asyncio.Event) -> None:
    """Let a signal end the start-up too; in a container nothing else would. `supervise` takes the
    signals over once the workers run.
    """
    starting = asyncio.current_task()
    assert starting is not None
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, _tell, starting, told)
    await main(environment())


def _tell_bug(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
    log.critical("a bug has ended this service", exc_info=(kind, exc, trace))


def _tell(starting: asyncio.Task[Any], told: asyncio.Event) -> None:
    told.set()
    starting.cancel()


def _first(group: BaseExceptionGroup[AppError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
