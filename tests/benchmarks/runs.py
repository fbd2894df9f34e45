"""Whole runs through the whole system: every symbol from candles to a promoted model."""

import os
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import uvloop

from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import unpack
from shared.market.files import file_name, write_candles
from shared.market.providers.synthetic import Synthetic
from shared.model.candles import Candles
from shared.runtime.clock import utc_now
from tests.benchmarks import markets, whole
from tests.benchmarks.markets import Market
from tests.benchmarks.measure import Goal, Row, Section, at_most, quietness
from tests.benchmarks.plan import Plan
from tests.support.system import System, eventually

_LOADED_S: Final = 1800.0
_ENDED_S: Final = 7200.0

#: Seldom, for every look is work for the system that is measured.
_LOOK_EVERY_S: Final = 2.0

#: The provider leaves a file alone that may still be in writing.
_SETTLED_S: Final = 2.5

#: Seconds of wall time for each symbol: 505 daily ones in 15 minutes, 100 in 12 and in 2 minutes.
_GOALS: Final = {
    (Timeframe.D1, "full"): 900.0 / 505,
    (Timeframe.M15, "full"): 720.0 / 100,
    (Timeframe.M15, "incremental"): 120.0 / 100,
}


def measure(plan: Plan) -> Section:
    before = quietness()
    timeframe = Timeframe(plan.timeframe)
    with tempfile.TemporaryDirectory() as folder:
        market = _offered(plan, timeframe, Path(folder) / "candles")
        rows = uvloop.run(_measured(Path(folder) / "data", market, timeframe, plan))
    return Section(
        title=f"Whole runs, {timeframe}",
        notes=(
            f"{len(market.symbols)} symbols with a window of {plan.rows:,} candles through "
            f"nats-server, scheduler, trainer with {_processes()} processes, predictor and gateway "
            "on this machine, from the start of the run to its end. The CPU time of the jobs is "
            "that of their processes; the system's is that of all others during the run.",
            f"On {market.source}. {before}",
        ),
        rows=rows,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offered:
    """The symbols, the days that hold the window, and the provider that has their candles."""

    source: str
    symbols: list[Symbol]
    days: int
    provider: str


def _offered(plan: Plan, timeframe: Timeframe, folder: Path) -> _Offered:
    """The synthetic market, or so many imported series, each in a file in `folder`."""
    if plan.candles is None:
        return _Offered(
            source="synthetic candles, a random walk for each symbol",
            symbols=list(Synthetic(count=plan.symbols, clock=utc_now).symbols()),
            days=-(-plan.rows // timeframe.per_day),
            provider=f"synthetic:{plan.symbols}",
        )
    market = _imported(plan.candles, timeframe)
    rows = markets.with_history(plan.rows)
    chosen = dict(islice(windows(market, rows, plan.symbols), plan.symbols))
    folder.mkdir()
    for symbol, candles in chosen.items():
        write_candles(folder / file_name(symbol, timeframe), unpack(candles.tobytes()))
    time.sleep(_SETTLED_S)
    return _Offered(
        source=_source(market, chosen),
        symbols=list(chosen),
        days=max(markets.days_of(candles, plan.rows) for candles in chosen.values()),
        provider=f"files:{folder}",
    )


def windows(market: Market, rows: int, symbols: int) -> Iterator[tuple[Symbol, Candles]]:
    """Every series that has the rows, up to its newest candle; then, where those are fewer than
    `symbols`, the same ones up to earlier candles, spread evenly, under other names.
    """
    long = {symbol: each for symbol, each in market.series.items() if len(each) >= rows}
    for number in range(times := -(-symbols // max(len(long), 1))):
        for symbol, candles in long.items():
            name = Symbol(f"{symbol}-{number + 1}") if number else symbol
            left_out = (len(candles) - rows) * number // times
            yield name, candles[: len(candles) - left_out]


def _source(market: Market, chosen: Collection[Symbol]) -> str:
    again = sum(symbol not in market.series for symbol in chosen)
    if not again:
        return market.source
    return (
        f"{market.source}; {again} of the {len(chosen)} symbols are such a series once more, up to "
        "an earlier candle, under another name"
    )


def _imported(folder: Path, timeframe: Timeframe) -> Market:
    return markets.daily(folder) if timeframe is Timeframe.D1 else markets.quarterly(folder, 0)


async def _measured(
    data_dir: Path, market: _Offered, timeframe: Timeframe, plan: Plan
) -> tuple[Row, ...]:
    settings = {
        "EVERTRAIN_DEMO": "false",
        "AUTO_TRAINING_ENABLED": "false",
        "FULL_RETRAIN_ENABLED": "false",
        "CANDLE_INTERVAL_MINUTES": "1440",
        "DATA_PROVIDER": market.provider,
        "SYMBOLS": ",".join(market.symbols),
        "TIMEFRAME": timeframe,
        "TRAIN_DAYS_BACK": str(market.days),
        "TRAIN_EPOCHS": str(plan.rounds),
        "FULL_TRAINING_MIN_DAYS": str(min(market.days, 90)),
        "TRAINER_PROCESSES": str(_processes()),
    }
    async with whole.started(data_dir, **settings) as system:
        await _loaded(system, len(market.symbols), markets.with_history(plan.rows))
        return (
            *await _run(system, "full", timeframe, len(market.symbols)),
            *await _run(system, "incremental", timeframe, len(market.symbols)),
        )


async def _loaded(system: System, symbols: int, rows: int) -> None:
    async def loaded() -> bool:
        answer = await system.http.get("/api/v1/system/candles", params={"limit": 1000})
        return (
            answer.status_code == 200 and sum(s["rows"] >= rows for s in answer.json()) >= symbols
        )

    await eventually(loaded, within=_LOADED_S, every=_LOOK_EVERY_S)


async def _run(system: System, mode: str, timeframe: Timeframe, symbols: int) -> tuple[Row, ...]:
    before = whole.spent(system)
    run_id = await system.trigger(mode)
    record = await system.ended(run_id, within=_ENDED_S, every=_LOOK_EVERY_S)
    used = whole.spent(system).since(before)
    if not record["started_at"]:
        raise RuntimeError(f"the {mode} run did not begin: {record['status']}, {record['error']}")
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
        *(
            Row(what=f"{mode}: CPU time of the {name}", ours=seconds, unit="s")
            for name, seconds in used.parts.items()
        ),
    )


def _time(what: str, record: dict[str, Any], goal: Goal | None) -> Row:
    started, finished = (
        datetime.fromisoformat(record[name]) for name in ("started_at", "finished_at")
    )
    return Row(what=what, ours=(finished - started).total_seconds(), unit="s", goal=goal)


def _processes() -> int:
    return os.cpu_count() or 1
