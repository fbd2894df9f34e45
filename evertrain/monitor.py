"""How the whole system is doing, on one screen."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from evertrain.exits import Exit
from evertrain.output import age, duration, money, share, table
from shared.bus.connection import Connection
from shared.bus.status import RollCall, collect
from shared.contracts.records import Coverage
from shared.contracts.reports import Level, PaperStatus, SystemStatus
from shared.runtime import logs
from shared.runtime.clock import utc_now

EXITS: Final = {Level.OK: Exit.DONE, Level.WARNING: Exit.PARTLY, Level.ERROR: Exit.MEND}

_EVERY_S: Final = 1.0
_STYLES: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}
_LOG_LINES: Final = 8
#: From the end of each log file; a few lines are all that is shown.
_LOG_BYTES: Final = 16 << 10


async def once(connection: Connection, data_dir: Path) -> SystemStatus:
    return await collect(connection, roll=RollCall(), data_dir=data_dir, now=utc_now())


async def live(connection: Connection, data_dir: Path, out: Console) -> None:
    """Draw until the person has seen enough; ends by being cancelled."""
    roll = RollCall()
    with Live(console=out, screen=out.is_terminal, auto_refresh=False) as screen:
        while True:
            now = utc_now()
            status = await collect(connection, roll=roll, data_dir=data_dir, now=now)
            screen.update(screenful(status, data_dir), refresh=True)
            await asyncio.sleep(_EVERY_S)


def screenful(status: SystemStatus, data_dir: Path) -> RenderableType:
    return Group(
        _health(status),
        _machine(status),
        Text(_training(status)),
        _services(status),
        *(
            Text(line, no_wrap=True, overflow="ellipsis")
            for line in recent_lines(data_dir / "logs", _LOG_LINES)
        ),
    )


def _health(status: SystemStatus) -> Text:
    text = Text(f"{status.health.level.upper()}", style=_STYLES[status.health.level])
    text.append(f"  evertrain {status.version}  {status.at:%Y-%m-%d %H:%M:%S} UTC", style="default")
    for finding in status.health.findings:
        text.append(f"\n  {finding.level}: {finding.message}", style=_STYLES[finding.level])
    return text


def _machine(status: SystemStatus) -> Text:
    round_trip = status.nats.round_trip_ms
    parts = [
        f"CPU {status.cpu.used_pct:.0f} % of {status.cpu.cores} cores",
        f"memory {status.memory.used_pct:.0f} %",
        f"disk {status.disk.used_pct:.0f} %, {status.disk.free_mb / 1024:.1f} GB free",
        "NATS away" if round_trip is None else f"NATS {round_trip:.1f} ms",
        *(f"{name} {waiting}" for name, waiting in status.queues.items()),
    ]
    return Text("\n" + ", ".join(parts))


def _training(status: SystemStatus) -> str:
    lines = []
    if run := status.current_run:
        lines.append(
            f"training   {run.mode} run {run.run_id}: {run.done + run.failed + run.skipped} of "
            f"{run.total} done, {run.failed} failed, batch {run.batch} of {run.batches}, "
            f"{duration(run.eta_s)} left"
        )
    if lock := status.lock:
        since = age(lock.started_at, status.at)
        lines.append(f"lock       {lock.holder}, {lock.mode} from {lock.source}, for {since}")
    if status.coverage:
        lines.append(f"models     {_coverage(status.coverage)}")
    if status.cache:
        lines.append(f"cache      {_cache(status.cache)}")
    if status.paper:
        lines.append(f"paper      {_paper(status.paper)}")
    return "\n".join(lines)


def _cache(figures: Mapping[str, float]) -> str:
    """Of one predictor: each has its own."""
    hits, misses = figures.get("hits", 0.0), figures.get("misses", 0.0)
    rate = share(hits / (hits + misses)) if hits + misses else "-"
    return (
        f"{figures.get('predictions_cached', 0.0):.0f} predictions, hit rate {rate} of "
        f"{hits + misses:.0f} questions to it, {figures.get('stale', 0.0):.0f} answered stale"
    )


def _paper(paper: PaperStatus) -> str:
    return (
        f"{paper.open_signals} signals open, {money(paper.unrealised_cents, sign=True)}; "
        f"{paper.trades} trades, {share(paper.win_rate)} won, "
        f"{money(paper.realised_cents, sign=True)}"
    )


def _coverage(coverage: Coverage) -> str:
    oldest = coverage.oldest_age_days
    return (
        f"{coverage.fresh} of {coverage.symbols} fresh, {coverage.stale} stale, "
        f"{coverage.missing} missing, oldest {'-' if oldest is None else f'{oldest:.1f} d'}"
    )


def _services(status: SystemStatus) -> RenderableType:
    columns = ("Service", "State", "Up for", "Memory MB", "Children MB", "Loop lag ms", "Instance")
    rows = (
        (
            s.service,
            "ready" if s.ready else "starting" if s.up else "down",
            age(s.since, status.at),
            f"{s.memory_mb:.0f}",
            f"{s.children_mb:.0f}",
            f"{s.loop_lag_ms:.0f}",
            s.instance,
        )
        for s in status.services
    )
    numbers = ("Up for", "Memory MB", "Children MB", "Loop lag ms")
    return table(*columns, rows=rows, numbers=numbers)


def recent_lines(directory: Path, count: int) -> list[str]:
    """The newest log lines of this machine's services, oldest first, in the form for people."""
    lines = [line for path in directory.glob("*.log") for line in _dated(path)]
    newest = sorted(lines)[-count:]
    return [logs.readable(line) for _, line in newest]


def _dated(path: Path) -> Iterator[tuple[datetime, str]]:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LOG_BYTES))
        for line in file:
            try:
                at = datetime.fromisoformat(orjson.loads(line)["at"])
            except (ValueError, KeyError, TypeError):
                continue  # the first one, cut in the middle
            yield at, line.decode(errors="replace").rstrip()
