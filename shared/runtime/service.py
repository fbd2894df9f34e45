"""How every service process begins and ends."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
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
    a file, an address in use), and 1 with a traceback on a bug.
    """
    die_with_supervisor()
    logs.configure(service)
    try:
        uvloop.run(main(environment()))
    except* AppError as group:
        log.error("%s", _first(group))
        sys.exit(2)
    except* asyncio.CancelledError:
        sys.exit(1)
    sys.exit(0)


def _first(group: BaseExceptionGroup[AppError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
