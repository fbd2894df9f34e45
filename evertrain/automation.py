"""The automation and its configuration, asked and shown."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from datetime import datetime

from rich.console import Console

from evertrain.output import age, duration, moment, table
from shared.bus import rpc
from shared.bus.connection import Connection
from shared.contracts.configuration import (
    KINDS,
    ConfigurationReport,
    Configured,
    SettingChange,
    parsed,
)
from shared.contracts.errors import InvalidSetting
from shared.contracts.records import CurrentRun, RunRecord, Started, Stopped, TrainingStatus
from shared.contracts.requests import (
    ConfigurationRequest,
    ConfigureRequest,
    StartRequest,
    StopRequest,
    TrainingStatusRequest,
)
from shared.contracts.trading import EvolvedParameters, SignalParameters


async def start(connection: Connection, request: StartRequest) -> Started:
    """Raises UnknownSymbol, InvalidSetting: what the scheduler says; Unavailable."""
    return await rpc.ask(connection, "evertrain.scheduler.start", request, Started)


async def stop(connection: Connection) -> Stopped:
    """Raises Unavailable: the scheduler does not answer."""
    return await rpc.ask(connection, "evertrain.scheduler.stop", StopRequest(by="cli"), Stopped)


async def status(connection: Connection) -> TrainingStatus:
    """Raises Unavailable: the scheduler does not answer."""
    question = TrainingStatusRequest()
    return await rpc.ask(connection, "evertrain.scheduler.status", question, TrainingStatus)


async def configuration(connection: Connection) -> ConfigurationReport:
    """Raises Unavailable: the scheduler does not answer."""
    question = ConfigurationRequest()
    return await rpc.ask(connection, "evertrain.scheduler.config", question, ConfigurationReport)


async def configure(connection: Connection, changes: Mapping[str, object]) -> ConfigurationReport:
    """Raises InvalidSetting, UnknownSymbol, InvalidSymbol: what the scheduler says; Unavailable."""
    request = ConfigureRequest(changes={**changes}, by="cli")
    return await rpc.ask(connection, "evertrain.scheduler.configure", request, ConfigurationReport)


def assigned(assignments: list[str]) -> dict[str, object]:
    """What `NAME=VALUE` arguments say.

    Raises:
        InvalidSetting: one of them is no assignment.
    """
    changes: dict[str, object] = {}
    for assignment in assignments:
        name, found, text = assignment.partition("=")
        if not found:
            raise InvalidSetting(f"{assignment!r} is not NAME=VALUE, like train_epochs=300")
        changes[name.strip()] = parsed(name.strip(), text.strip())
    return changes


def show_started(started: Started, out: Console) -> None:
    out.print(started.message)
    if started.run_id:
        out.print(f"run {started.run_id}: `evertrain monitor` shows it")


def show_stopped(stopped: Stopped, out: Console) -> None:
    out.print(stopped.message)
    if stopped.cancelled:
        out.print(f"being cancelled: {', '.join(stopped.cancelled)}")


def show_status(status: TrainingStatus, out: Console, now: datetime) -> None:
    covered = status.coverage
    facts = {
        "automation": "runs" if status.enabled else "rests",
        "next run": moment(status.next_run_at),
        "training now": _current(status.current_run),
        "lock": f"{status.lock.run_id} on {status.lock.holder}" if status.lock else "free",
        "ticks missed": f"{status.missed_ticks} in 30 days",
        "last run": _last(status.last_run, now),
        "models": f"{covered.fresh} fresh, {covered.stale} stale, {covered.missing} missing",
        "jobs that succeed": "-"
        if status.success_rate is None
        else f"{100 * status.success_rate:.1f} %",
    }
    out.print(table("Training", "", rows=facts.items()))


def show_configuration(report: ConfigurationReport, out: Console) -> None:
    values = ((name, _text(getattr(report, name))) for name in KINDS)
    out.print(table("Setting", "Value", rows=values))
    out.print(f"revision {report.revision}, {_origin(report)}")
    if report.history:
        changes = (
            (one.revision, moment(one.at), one.by, *_cells(change))
            for one in report.history
            for change in one.changes
        )
        columns = ("Revision", "At", "By", "Setting", "Old", "New")
        out.print(table(*columns, rows=changes, numbers=("Revision",)))
    if report.evolution:
        _show_evolution(report.evolution, out)


def _show_evolution(evolution: Sequence[EvolvedParameters], out: Console) -> None:
    """Of most symbols there is nothing to tell: these are only counted."""
    others = [each for each in evolution if each.parameters != SignalParameters()]
    out.print(
        f"signal parameters: of {len(evolution)} symbols whose parameters were searched for, "
        f"{len(others)} follow others than the defaults"
    )
    if others:
        numbers = ("Take profit", "Stop loss", "Confidence", "Holding")
        rows = (
            (each.symbol, *astuple(each.parameters), each.history[0].note if each.history else None)
            for each in others
        )
        out.print(table("Symbol", *numbers, "Newest search", rows=rows, numbers=numbers))


def _origin(configured: Configured) -> str:
    source = "the settings" if configured.changed_by == "settings" else configured.changed_by
    return f"from {source} at {moment(configured.changed_at)} UTC"


def _cells(change: SettingChange) -> tuple[str, str, str]:
    return change.setting, _text(change.old), _text(change.new)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _current(run: CurrentRun | None) -> str:
    if run is None:
        return "nothing"
    left = f", {duration(run.eta_s)} left" if run.eta_s is not None else ""
    ended = run.done + run.failed + run.skipped
    return f"{run.run_id} ({run.mode}): {ended} of {run.total}{left}"


def _last(run: RunRecord | None, now: datetime) -> str:
    if run is None:
        return "none"
    return f"{run.run_id} {run.status}, {age(run.finished_at, now)} ago"
