"""What is asked about trading on paper, over as much of it as months leave behind."""

import asyncio
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from services.predictor.adapters import rejections
from services.predictor.adapters.rejections import RejectionCopy, question
from services.predictor.domain.profit import Trade, profit_report
from shared.bus.trail import Item
from shared.contracts import codec
from shared.contracts.events import SignalRejected
from shared.contracts.requests import RejectionsRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.contracts.trading import FILTERS, FilterResult, Rejection
from shared.runtime.clock import to_ms
from shared.storage.sqlite import open_view
from tests.benchmarks.measure import Row, Section, at_least, at_most, in_turns, times_less, value
from tests.benchmarks.measure import seconds as taken
from tests.benchmarks.plan import Plan

_NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
#: Half of them are older than the day that is asked for.
_SPREAD: Final = timedelta(hours=48)
_SYMBOLS: Final = tuple(Symbol(f"S{number:03}/USDT") for number in range(545))
_BATCH: Final = 500


def measure(plan: Plan) -> Section:
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        rows = _rows(runner, Path(folder), plan)
    return Section(
        title="Books",
        notes=(
            f"CPU time, all threads. {plan.rejections:,} rejections of {len(_SYMBOLS)} symbols in "
            "two days, each with its nine filters, in the predictor's SQLite file; a question is "
            "for those of the last 24 hours, newest first. The yardstick asks "
            "the same of a table of the same rows without an index.",
            f"Profits are summed up over {plan.rejections:,} trades.",
        ),
        rows=rows,
    )


def _rows(runner: asyncio.Runner, folder: Path, plan: Plan) -> tuple[Row, ...]:
    stack = AsyncExitStack()
    database = runner.run(
        stack.enter_async_context(open_view(folder / "rejections.sqlite", rejections.SCHEMA))
    )
    copy = RejectionCopy(database, clock=lambda: _NOW)
    items = list(_items(plan.rejections))
    taking = taken(lambda: runner.run(_take(copy, items)))
    runner.run(_keep_without_index(copy))

    def page(asked: RejectionsRequest) -> None:
        runner.run(copy.rejected(asked, _NOW))

    def scan(asked: RejectionsRequest) -> None:
        runner.run(_without_index(copy, asked))

    times = 20 if plan.turns > 1 else 1
    found = tuple(
        times_less(
            what,
            in_turns(
                partial(page, asked), partial(scan, asked), turns=plan.turns, times=(times, 1)
            ),
            "ms",
            at_least(10.0),
        )
        for what, asked in (
            ("a page of 100", RejectionsRequest()),
            ("a page of 100 of one symbol", RejectionsRequest(symbol=_SYMBOLS[0])),
            ("a page of 100 of one reason", RejectionsRequest(reason=FILTERS[0])),
        )
    )
    thousand = taken(partial(page, RejectionsRequest(limit=1000)), times=times)
    trades = [_trade(number, plan.rejections) for number in range(plan.rejections)]
    profit = taken(lambda: profit_report(trades, {}, now=_NOW, days=None, capital_cents=10_000_000))
    runner.run(stack.aclose())
    return (
        *found,
        value("a page of 1,000", thousand, "ms", at_most(10.0)),
        value("one rejection copied, of many", taking / plan.rejections, "us", at_most(200.0)),
        value("profits of all trades", profit, "ms", at_most(500.0)),
    )


async def _take(copy: RejectionCopy, items: list[Item]) -> None:
    for begin in range(0, len(items), _BATCH):
        await copy.database.execute("BEGIN")
        await copy.take(tuple(items[begin : begin + _BATCH]))
        await copy.database.commit()


async def _keep_without_index(copy: RejectionCopy) -> None:
    await copy.database.execute("CREATE TABLE unindexed AS SELECT * FROM rejections")


def _without_index(copy: RejectionCopy, asked: RejectionsRequest) -> Coroutine[Any, Any, None]:
    query, parameters = question(asked, _NOW)

    async def read() -> None:
        scan = query.replace("FROM rejections", "FROM unindexed")
        await copy.database.execute_fetchall(scan, parameters)

    return read()


def _items(count: int) -> Iterator[Item]:
    for number in range(count):
        one = _rejection(number, count)
        fact = SignalRejected(id=one.id, at=one.at, symbol=one.symbol, rejection=one)
        yield Item("", codec.encode(fact), number + 1, removed=False)


def _rejection(number: int, count: int) -> Rejection:
    symbol = _SYMBOLS[number % len(_SYMBOLS)]
    reason = FILTERS[number % len(FILTERS)]
    return Rejection(
        id=f"{symbol.token}.{number}.{reason}",
        symbol=symbol,
        timeframe=Timeframe.M15,
        at=_NOW - _SPREAD * (1 - number / count),
        reason=reason,
        filters=tuple(
            FilterResult(name=name, value=0.5, threshold=0.6, passed=name != reason)
            for name in FILTERS
        ),
        metadata={"close": 104_250.5, "model_version": "20261121T020311-0a1b2c3d"},
    )


def _trade(number: int, count: int) -> Trade:
    ended = _NOW - timedelta(days=400) * (1 - number / count)
    profit = (number * 7919) % 20_001 - 10_000
    return Trade(_SYMBOLS[number % len(_SYMBOLS)], to_ms(ended), profit, 200, 100, 0)
