"""The prediction cache, asked and shown."""

from datetime import datetime
from typing import Final

from rich.console import Console

from evertrain.output import age, duration, share, table
from shared.bus import rpc
from shared.bus.connection import Connection
from shared.contracts.records import CacheReport, Cleared, Pregenerated, Pregeneration
from shared.contracts.requests import CacheRequest, ClearCacheRequest, PregenerateRequest

#: Thousands of symbols take minutes beside a training.
_PREGENERATED_WITHIN_S: Final = 1800.0
_CLEARED_WITHIN_S: Final = 30.0


async def info(connection: Connection) -> CacheReport:
    """Raises Unavailable: the predictor does not answer."""
    return await rpc.ask(connection, "evertrain.predictor.cache", CacheRequest(), CacheReport)


async def pregenerate(connection: Connection, request: PregenerateRequest) -> Pregenerated:
    """Raises UnknownSymbol: what the predictor says; Unavailable."""
    return await rpc.ask(
        connection,
        "evertrain.predictor.pregenerate",
        request,
        Pregenerated,
        timeout=_PREGENERATED_WITHIN_S,
    )


async def clear(connection: Connection, request: ClearCacheRequest) -> Cleared:
    """Raises UnknownSymbol: what the predictor says; Unavailable."""
    return await rpc.ask(
        connection, "evertrain.predictor.clear", request, Cleared, timeout=_CLEARED_WITHIN_S
    )


def show_info(report: CacheReport, out: Console, now: datetime) -> None:
    asked = report.hits_memory + report.hits_disk + report.misses
    facts = {
        "caching": "on" if report.enabled else "off: every question is computed anew",
        "an answer lives": duration(report.ttl_hours * 3600),
        "in memory": f"{report.in_memory} predictions, {_kb(report.memory_bytes)}",
        "on disk": f"{report.on_disk} predictions, {_kb(report.disk_bytes)}",
        "questions to it": f"{asked}, {report.stale} answered with something stale",
        "answered from memory": report.hits_memory,
        "answered from disk": report.hits_disk,
        "computed": f"{report.misses}, {report.failures} failed",
        "hit rate": share(report.hit_rate),
        "oldest": duration(report.oldest_age_s),
        "pre-generation": _pregeneration(report.pregeneration, now),
    }
    out.print(table("Cache", report.instance, rows=facts.items()))
    if report.problem is not None:
        out.print(f"no disk tier: {report.problem.message}")


def show_pregenerated(made: Pregenerated, out: Console) -> None:
    out.print(f"{made.made} predictions made, {made.kept} were new enough, {made.failed} failed")
    if made.waiting:
        out.print(f"{made.waiting} symbols have no model yet: `evertrain train` makes it")


def show_cleared(cleared: Cleared, out: Console) -> None:
    out.print(f"symbols forgotten, to be computed anew: {cleared.symbols}")


def _pregeneration(pregeneration: Pregeneration | None, now: datetime) -> str:
    if pregeneration is None:
        return "none since the start"
    words = f"{pregeneration.done} of {pregeneration.of}, {pregeneration.failed} failed"
    since = age(pregeneration.since, now)
    return f"running for {since}: {words}" if pregeneration.running else f"{words}, {since} ago"


def _kb(size: int) -> str:
    return f"{size / 1000:,.0f} kB"
