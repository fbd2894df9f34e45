"""The whole system on this machine: nats-server and the four services, each its own process.

`evertrain up` turns its options into settings and becomes this module, which reads them.
"""

import asyncio
import contextlib
import logging
import os
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from evertrain.configuration import SERVICES
from evertrain.exits import refused
from evertrain.logbook import Logbook, logbook, tell
from evertrain.processes import ChildProcess, Command
from evertrain.supervision import Child, Patience, Stop, keep_all_running
from shared.bus.embedded import embedded_server
from shared.contracts.errors import AppError, InvalidSetting
from shared.runtime import logs
from shared.runtime.backoff import backoff
from shared.runtime.settings import Environment, environment
from shared.runtime.tasks import alongside

log = logging.getLogger(__name__)

#: nats-server is stopped after this, and all of it must take less than ten seconds.
_GRACE_S: Final = 7.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run. `commands` are the arguments after the interpreter, by name."""

    data_dir: Path
    host: str
    port: int
    nats_url: str | None = None
    patience: Patience = field(default_factory=Patience)
    commands: Mapping[str, tuple[str, ...]]


def plan(env: Environment) -> Plan:
    """Raises InvalidSetting: GATEWAY_PORT is out of range."""
    return Plan(
        data_dir=env.data_dir(),
        host=env.text("GATEWAY_HOST", "127.0.0.1"),
        port=env.integer("GATEWAY_PORT", 8000, least=1, most=65535),
        nats_url=env.optional("NATS_URL"),
        commands={name: ("-P", "-m", f"services.{name}") for name in SERVICES},
    )


async def run(plan: Plan, show: Callable[[str], None]) -> None:
    """Everything in the plan, until a signal asks to stop.

    Raises:
        InvalidSetting: the port cannot be listened on.
        AlreadyRunning: another process uses the data directory.
        Unavailable: nats-server did not start.
    """
    _check_free(plan.host, plan.port)
    logs.configure("up")
    stop = Stop()
    async with AsyncExitStack() as stack:
        stack.enter_context(_signals(stop))
        nats_url = await _nats(plan, stack)
        book = stack.enter_context(logbook(plan.data_dir / "logs"))
        show("Starting. Ctrl-C stops everything.")
        await stack.enter_async_context(alongside(_welcome(plan, show), name="welcome"))
        await keep_all_running(_children(plan, nats_url, book), stop, grace=_GRACE_S)
    show("Stopped.")


async def _nats(plan: Plan, stack: AsyncExitStack) -> str:
    """The address of the server that the user named, or else of one of our own."""
    if plan.nats_url:
        return plan.nats_url
    return await stack.enter_async_context(embedded_server(plan.data_dir))


def _children(plan: Plan, nats_url: str, book: Logbook) -> list[Child]:
    environment = {**os.environ, "NATS_URL": nats_url}
    return [
        Child(
            name,
            partial(
                ChildProcess.start,
                Command(
                    arguments=(sys.executable, *arguments),
                    environment=environment,
                    hear=partial(book.write, name),
                ),
            ),
            plan.patience,
        )
        for name, arguments in plan.commands.items()
    ]


@contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for signum in signals:
        loop.add_signal_handler(signum, stop.signalled)
    try:
        yield
    finally:
        for signum in signals:
            loop.remove_signal_handler(signum)


def _check_free(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as exc:
        raise InvalidSetting(
            f"cannot listen on {host} port {port} ({(exc.strerror or str(exc)).lower()}): "
            f"stop what uses it, or choose another with --host and --port"
        ) from exc


async def _welcome(plan: Plan, show: Callable[[str], None]) -> None:
    """Say where to look, once there is something to see."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(plan.host, plan.host)  # noqa: S104
    await _until_it_listens(host, plan.port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{plan.port}"
    program = (
        "evertrain" if shutil.which("evertrain") else Path(sys.executable).parent / "evertrain"
    )
    show(
        f"""
  Dashboard   {address}/
  API         {address}/docs
  Commands    export DATA_DIR={shlex.quote(str(plan.data_dir))}; {program} --help
  NATS        nats --server "$({program} nats url)" sub 'evertrain.event.>'
  Stop        Ctrl-C
"""
    )


async def _until_it_listens(host: str, port: int) -> None:
    for delay in backoff(0.05, most=0.5):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return
        await asyncio.sleep(delay)


def main() -> None:
    try:
        asyncio.run(run(plan(environment()), show=partial(tell, stream=sys.stdout)))
    except* AppError as group:
        sys.exit(refused(group))


if __name__ == "__main__":
    main()
