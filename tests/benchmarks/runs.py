"""Whole runs through the whole system: every symbol from candles to a promoted model."""

import os
import tempfile
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import uvloop

from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.providers.synthetic import Synthetic
from shared.runtime.clock import utc_now
from tests.benchmarks import markets, whole
from tests.benchmarks.measure import Goal, Row, Section, at_most, quietness
from tests.benchmarks.plan import Plan
from tests.support.system import System, eventually

_LOADED_S: Final = 1800.0
_ENDED_S: Final = 7200.0

#: Seconds of wall time for each symbol: 505 daily ones in 15 minutes, 100 in 12 and in 2 minutes.
_GOALS: Final = {
    (Timeframe.D1, "full"): 900.0 / 505,
    (Timeframe.M15, "full"): 720.0 / 100,
    (Timeframe.M15, "incremental"): 120.0 / 100,
}


def measure(plan: Plan) -> Section:
    before = quietness()
    timeframe = Timeframe(plan.timeframe)
    symbols, days, settings = _market(plan, timeframe)
    with tempfile.TemporaryDirectory() as folder:
        rows = uvloop.run(_measured(Path(folder), symbols, timeframe, days, settings, plan))
    return Section(
        title=f"Whole runs, {timeframe}",
        notes=(
            f"{len(symbols)} symbols with a window of {plan.rows:,} candles through nats-server, "
            f"scheduler, trainer with {_processes()} processes, predictor and gateway on this "
            "machine, from the start of the run to its end. The CPU time of the jobs is that of "
            "their processes; the system's is that of all others during the run.",
            f"Candles from `{settings['DATA_PROVIDER'].partition(':')[0]}`. {before}",
        ),
        rows=rows,
    )


def _market(plan: Plan, timeframe: Timeframe) -> tuple[list[Symbol], int, dict[str, str]]:
    """The symbols, the days that hold the window, and what tells the system to read them."""
    if plan.candles is None:
        offered = Synthetic(count=plan.symbols, clock=utc_now).symbols()
        days = -(-plan.rows // timeframe.per_day)
        return list(offered), days, {"DATA_PROVIDER": f"synthetic:{plan.symbols}"}
    market = (
        markets.daily(plan.candles)
        if timeframe is Timeframe.D1
        else markets.quarterly(plan.candles, plan.rows)
    )
    rows = markets.with_history(plan.rows)
    long = {symbol: each for symbol, each in market.series.items() if len(each) >= rows}
    symbols = list(islice(long, plan.symbols))
    days = max(markets.days_of(long[symbol], plan.rows) for symbol in symbols)
    return symbols, days, {"DATA_PROVIDER": f"files:{plan.candles.absolute()}"}


async def _measured(
    folder: Path,
    symbols: list[Symbol],
    timeframe: Timeframe,
    days: int,
    provider: dict[str, str],
    plan: Plan,
) -> tuple[Row, ...]:
    settings = {
        "EVERTRAIN_DEMO": "false",
        "AUTO_TRAINING_ENABLED": "false",
        "FULL_RETRAIN_ENABLED": "false",
        "CANDLE_INTERVAL_MINUTES": "1440",
        "SYMBOLS": ",".join(symbols),
        "TIMEFRAME": timeframe,
        "TRAIN_DAYS_BACK": str(days),
        "TRAIN_EPOCHS": str(plan.rounds),
        "FULL_TRAINING_MIN_DAYS": str(min(days, 90)),
        "TRAINER_PROCESSES": str(_processes()),
    }
    async with whole.started(folder, **settings, **provider) as system:
        await _loaded(system, len(symbols))
        return (
            *await _run(system, "full", timeframe, len(symbols)),
            *await _run(system, "incremental", timeframe, len(symbols)),
        )


async def _loaded(system: System, symbols: int) -> None:
    async def loaded() -> bool:
        answer = await system.http.get("/api/v1/system/candles", params={"limit": 1000})
        return answer.status_code == 200 and sum(s["rows"] > 0 for s in answer.json()) >= symbols

    await eventually(loaded, within=_LOADED_S)


async def _run(system: System, mode: str, timeframe: Timeframe, symbols: int) -> tuple[Row, ...]:
    before = whole.spent(system)
    record = await system.ended(await system.trigger(mode), within=_ENDED_S)
    used = whole.spent(system).since(before)
    each = _GOALS.get((timeframe, mode))
    return (
        _time(
            f"{mode} run over {symbols} symbols", record, at_most(each * symbols) if each else None
        ),
        Row(what=f"{mode}: failed jobs", ours=record["failed"], unit=""),
        Row(what=f"{mode}: CPU time of the jobs", ours=used.jobs, unit="s"),
        Row(
            what=f"{mode}: CPU time of the system, over the jobs'",
            ours=100.0 * used.system / used.jobs if used.jobs else 0.0,
            unit="%",
            goal=at_most(10.0),
        ),
    )


def _time(what: str, record: dict[str, Any], goal: Goal | None) -> Row:
    started, finished = (
        datetime.fromisoformat(record[name]) for name in ("started_at", "finished_at")
    )
    return Row(what=what, ours=(finished - started).total_seconds(), unit="s", goal=goal)


def _processes() -> int:
    return os.cpu_count() or 1
