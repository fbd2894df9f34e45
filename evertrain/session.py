"""One errand on the bus: connect, do it, leave."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from urllib.parse import quote

import nats.errors
from nats.js.errors import NotFoundError
from rich.console import Console

from evertrain.output import console, show_json
from shared.bus.connection import Connection, NatsOptions, connected
from shared.contracts import subjects
from shared.contracts.errors import Unavailable
from shared.runtime.settings import Environment, environment

T = TypeVar("T")

#: A person is waiting.
_GIVE_UP_AFTER_S: Final = 3.0


def on_the_bus(errand: Callable[[Connection], Awaitable[T]]) -> T:
    """What the errand returns.

    Raises:
        Unavailable: no NATS server is known, or none answers.
        AppError: whatever the errand raises.
    """
    return asyncio.run(_connected(errand))


def answer(
    errand: Callable[[Connection], Awaitable[T]],
    show: Callable[[T, Console], None],
    *,
    json: bool,
) -> None:
    """Do the errand, and print what it returns: for people, or as JSON for programs.

    Raises:
        AppError: as `on_the_bus`.
    """
    found = on_the_bus(errand)
    if json:
        show_json(found)
    else:
        show(found, console())


async def _connected(errand: Callable[[Connection], Awaitable[T]]) -> T:
    options = NatsOptions.read(environment())
    async with connected(options, name="evertrain", give_up_after=_GIVE_UP_AFTER_S) as connection:
        return await errand(connection)


async def check_stores(connection: Connection) -> None:
    """Raises Unavailable: no service has ever run on this NATS.

    Why not make the stores here: they would get this machine's idea of NATS_REPLICAS.
    """
    try:
        async with asyncio.timeout(_GIVE_UP_AFTER_S):
            await connection.js.stream_info(subjects.EVENTS)
    except NotFoundError as exc:
        raise Unavailable("there is no Evertrain on this NATS yet: start the services") from exc
    except (nats.errors.Error, OSError, TimeoutError) as exc:
        raise Unavailable("NATS does not answer") from exc


def address(env: Environment) -> str:
    """Where NATS is, with user and password, as the NATS command line takes it.

    Raises:
        Unavailable: no NATS server is known.
    """
    options = NatsOptions.read(env)
    return ",".join(_with_credentials(server, options) for server in options.servers)


def _with_credentials(server: str, options: NatsOptions) -> str:
    if options.user is None or "@" in server:
        return server
    scheme, _, host = server.rpartition("://")
    who = f"{quote(options.user, safe='')}:{quote(options.password or '', safe='')}"
    return f"{scheme or 'nats'}://{who}@{host}"
