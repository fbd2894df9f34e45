"""A real nats-server that a test can kill, freeze and start again on the same port and store."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.bus import embedded
from shared.bus.connection import Connection

_READY_WITHIN_S = 10.0


class NatsServer:
    """The server of `data_dir`, with the same configuration as the embedded one, but started again
    only when the test says so. Its address is found by `find_address(data_dir)` as usual.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._home = data_dir / "nats"
        self._home.mkdir(parents=True, exist_ok=True)
        self._address = embedded._address(data_dir)
        config = self._home / "nats.conf"
        config.write_text(embedded._config(self._home, self._address))
        self._command = [embedded.server_binary(), "-c", str(config)]
        self._environment = os.environ | embedded._time_zones()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self._address.url

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until_it_answers()

    def kill(self) -> None:
        """End it without warning, as a crash or the kernel's out-of-memory killer would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """It stops answering, but its connections stay open: a partition."""
        os.kill(self.pid, signal.SIGSTOP)
        while not all(state == "T" for state in _thread_states(self.pid)):
            time.sleep(0.001)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, signum: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(signum)
        process.wait(timeout=10)

    def _wait_until_it_answers(self) -> None:
        patience = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < patience:
            try:
                with socket.create_connection(("127.0.0.1", self._address.port), 1) as probe:
                    if probe.recv(4) == b"INFO":
                        return
            except OSError:
                time.sleep(0.01)
        raise TimeoutError(f"nats-server does not answer: see {self._home}/nats.log")


async def crash_and_restart(server: NatsServer, connection: Connection) -> None:
    """Until the connection is back as well."""
    back = asyncio.Event()
    with connection.on_reconnect(back.set):
        server.kill()
        server.start()
        async with asyncio.timeout(_READY_WITHIN_S):
            await back.wait()


@contextmanager
def nats_server_on(data_dir: Path) -> Iterator[NatsServer]:
    """A running server; it is killed at the end, whatever the test did to it."""
    server = NatsServer(data_dir)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _thread_states(pid: int) -> list[str]:
    """One letter each, as in proc(5): the name before it may hold anything but ends in `)`."""
    stats = Path(f"/proc/{pid}/task").glob("*/stat")
    return [stat.read_text().rpartition(") ")[2][0] for stat in stats]
