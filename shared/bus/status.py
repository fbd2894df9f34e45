"""The state of the whole system: collected from the bus and this machine, judged purely."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import nats.errors
import psutil
from nats.js.errors import Error as JetStreamError

from shared.bus import rpc
from shared.bus.connection import Connection
from shared.bus.locks import TrainingLock
from shared.bus.survey import survey
from shared.contracts import subjects
from shared.contracts.errors import AppError
from shared.contracts.records import Coverage, LockHolder, TrainingStatus
from shared.contracts.reports import (
    CpuStatus,
    Finding,
    Health,
    Level,
    NatsStatus,
    PaperStatus,
    ServiceReport,
    ServiceStatus,
    SystemStatus,
    Usage,
)
from shared.contracts.requests import ExposureRequest, ProfitRequest, TrainingStatusRequest
from shared.contracts.trading import ExposureReport, ProfitReport
from shared.runtime.version import VERSION

#: Without one of these the system does not do its job.
SERVICES: Final = ("scheduler", "trainer", "predictor", "gateway")

_QUEUES: Final = {
    "requests": subjects.REQUESTS,
    "jobs": subjects.JOBS,
    "dead": subjects.DEAD,
}
_TIMEOUT_S: Final = 2.0
_CPU_OVER_S: Final = 0.1
_MB: Final = 1 << 20
#: Surveys are answered within half a second; a busy process may miss one, not several.
_SILENT: Final = timedelta(seconds=8)
_FORGOTTEN: Final = timedelta(minutes=2)
_SEVERITY: Final = {Level.ERROR: 0, Level.WARNING: 1, Level.OK: 2}


@dataclass(slots=True)
class RollCall:
    """Who has answered, and when. One that falls silent is down; a while later it is forgotten,
    unless nobody else does its work.
    """

    _heard: dict[str, tuple[ServiceReport, datetime]] = field(default_factory=dict)

    def hear(self, reports: Iterable[ServiceReport], now: datetime) -> None:
        for report in reports:
            self._heard[report.instance] = (report, now)
        working = {r.service for r, at in self._heard.values() if now - at <= _SILENT}
        self._heard = {
            instance: (report, at)
            for instance, (report, at) in self._heard.items()
            if now - at <= _FORGOTTEN or report.service not in working
        }

    def services(self, now: datetime) -> tuple[ServiceStatus, ...]:
        """By service, then by instance."""
        heard = sorted(self._heard.values(), key=lambda h: (h[0].service, h[0].instance))
        return tuple(_service(report, at, now) for report, at in heard)


async def collect(
    connection: Connection, *, roll: RollCall, data_dir: Path, now: datetime
) -> SystemStatus:
    """Ask everyone at once; takes about half a second, and never longer than a few.

    `roll` is kept between calls by who asks again and again. Never raises: what does not answer is
    a finding.
    """
    async with asyncio.TaskGroup() as questions:
        reports = questions.create_task(survey(connection))
        nats_status = questions.create_task(_nats(connection))
        machine = questions.create_task(asyncio.to_thread(_machine, data_dir))
        queues = questions.create_task(_queues(connection))
        lock = questions.create_task(_lock(connection))
        training = questions.create_task(_training(connection))
        paper = questions.create_task(_paper(connection))
    roll.hear(reports.result(), now)
    cpu, memory, disk = machine.result()
    services = roll.services(now)
    known = training.result()
    coverage = known.coverage if known else None
    return SystemStatus(
        at=now,
        version=VERSION,
        services=services,
        nats=nats_status.result(),
        cpu=cpu,
        memory=memory,
        disk=disk,
        cache=next((s.figures for s in services if s.service == "predictor" and s.up), None),
        queues=queues.result(),
        lock=lock.result(),
        current_run=known.current_run if known else None,
        coverage=coverage,
        paper=paper.result(),
        health=judge(
            services=services,
            nats=nats_status.result(),
            memory=memory,
            disk=disk,
            queues=queues.result(),
            coverage=coverage,
        ),
    )


def judge(
    *,
    services: Sequence[ServiceStatus],
    nats: NatsStatus,
    memory: Usage,
    disk: Usage,
    queues: dict[str, int],
    coverage: Coverage | None,
) -> Health:
    """What somebody should know, the worst first.

    While NATS is away nothing can be said about the services, so nothing is.
    """
    findings = [*_machine_findings(memory, disk)]
    if not nats.connected:
        findings.append(_error("nats_away", "NATS does not answer: is nats-server running?"))
    else:
        findings += _service_findings(services)
        findings += _coverage_findings(coverage)
    if queues.get("dead"):
        findings.append(
            _warning(
                "parked_messages",
                f"messages that could not be handled: {queues['dead']}, in {subjects.DEAD}",
            )
        )
    findings.sort(key=lambda finding: _SEVERITY[finding.level])
    level = findings[0].level if findings else Level.OK
    return Health(level=level, findings=tuple(findings))


def _service_findings(services: Sequence[ServiceStatus]) -> list[Finding]:
    findings = []
    for name in SERVICES:
        working = [s for s in services if s.service == name and s.up]
        if not working:
            findings.append(_error("service_down", f"no {name} answers: is it running?"))
        elif not any(s.ready for s in working):
            findings.append(_warning("service_not_ready", f"the {name} is not ready yet"))
    for s in services:
        if not s.up and any(other.up for other in services if other.service == s.service):
            findings.append(_warning("instance_down", f"{s.instance} no longer answers"))
        findings += [_warning(p.code, f"{s.service}: {p.message}") for p in s.problems if s.up]
    return findings


def _coverage_findings(coverage: Coverage | None) -> list[Finding]:
    if coverage is None:
        return []
    findings = []
    if coverage.missing:
        findings.append(
            _warning("models_missing", f"{coverage.missing} of {coverage.symbols} have no model")
        )
    if coverage.stale:
        findings.append(
            _warning("models_stale", f"{coverage.stale} of {coverage.symbols} models are too old")
        )
    return findings


def _machine_findings(memory: Usage, disk: Usage) -> list[Finding]:
    findings = []
    if disk.used_pct >= 97:
        findings.append(
            _error("disk_full", f"{disk.free_mb:.0f} MB are left on the data directory's disk")
        )
    elif disk.used_pct >= 90:
        findings.append(
            _warning("disk_filling", f"the data directory's disk is {disk.used_pct:.0f} % full")
        )
    if memory.used_pct >= 95:
        findings.append(_warning("memory_low", f"{memory.free_mb:.0f} MB of memory are left"))
    return findings


def _warning(code: str, message: str) -> Finding:
    return Finding(level=Level.WARNING, code=code, message=message)


def _error(code: str, message: str) -> Finding:
    return Finding(level=Level.ERROR, code=code, message=message)


def _service(report: ServiceReport, heard_at: datetime, now: datetime) -> ServiceStatus:
    up = now - heard_at <= _SILENT
    return ServiceStatus(
        service=report.service,
        instance=report.instance,
        version=report.version,
        up=up,
        ready=up and report.ready,
        since=report.started_at,
        last_heartbeat=heard_at,
        memory_mb=report.memory_mb,
        children_mb=report.children_mb,
        loop_lag_ms=report.loop_lag_ms,
        problems=report.problems,
        figures=report.figures or {},
    )


async def _nats(connection: Connection) -> NatsStatus:
    if connection.connected:
        with suppress(AppError):
            return NatsStatus(connected=True, round_trip_ms=await connection.round_trip_ms())
    return NatsStatus(connected=False, round_trip_ms=None)


async def _queues(connection: Connection) -> dict[str, int]:
    waiting = {}
    with suppress(nats.errors.Error, JetStreamError, OSError, TimeoutError):
        async with asyncio.timeout(_TIMEOUT_S):
            for name, stream in _QUEUES.items():
                waiting[name] = (await connection.js.stream_info(stream)).state.messages
    return waiting


async def _lock(connection: Connection) -> LockHolder | None:
    with suppress(AppError, TimeoutError):
        async with asyncio.timeout(_TIMEOUT_S):
            return await TrainingLock(connection).holder()
    return None


async def _training(connection: Connection) -> TrainingStatus | None:
    with suppress(AppError):
        return await rpc.ask(
            connection,
            "evertrain.scheduler.status",
            TrainingStatusRequest(),
            TrainingStatus,
            timeout=_TIMEOUT_S,
        )
    return None


async def _paper(connection: Connection) -> PaperStatus | None:
    with suppress(AppError):
        exposure = await rpc.ask(
            connection,
            "evertrain.predictor.exposure",
            ExposureRequest(),
            ExposureReport,
            timeout=_TIMEOUT_S,
        )
        profit = await rpc.ask(
            connection,
            "evertrain.predictor.pnl",
            ProfitRequest(),
            ProfitReport,
            timeout=_TIMEOUT_S,
        )
        return PaperStatus(
            open_signals=len(exposure.positions),
            trades=profit.trades,
            win_rate=profit.win_rate,
            realised_cents=profit.realised_cents,
            unrealised_cents=profit.unrealised_cents,
        )
    return None


def _machine(data_dir: Path) -> tuple[CpuStatus, Usage, Usage]:
    cpu = CpuStatus(used_pct=psutil.cpu_percent(_CPU_OVER_S), cores=psutil.cpu_count() or 1)
    memory = psutil.virtual_memory()
    disk = psutil.disk_usage(str(_existing(data_dir)))
    return (
        cpu,
        Usage(
            used_pct=memory.percent,
            free_mb=round(memory.available / _MB, 1),
            total_mb=round(memory.total / _MB, 1),
        ),
        Usage(
            used_pct=disk.percent,
            free_mb=round(disk.free / _MB, 1),
            total_mb=round(disk.total / _MB, 1),
        ),
    )


def _existing(path: Path) -> Path:
    """The path, or the nearest directory above it that is there."""
    return next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
