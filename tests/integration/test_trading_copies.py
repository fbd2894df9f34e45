"""Signals and rejections in SQLite, copied from a real nats-server."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiosqlite
import pytest

from services.predictor.adapters import copies, rejections, trades
from services.predictor.adapters.copies import Copy, follow_stream
from services.predictor.adapters.ledger import KEPT
from services.predictor.adapters.rejections import RejectionCopy
from services.predictor.adapters.trades import SignalCopy
from services.predictor.domain.profit import Trade
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.bus.trail import Item, Place
from shared.contracts import codec, subjects
from shared.contracts.events import SignalRejected
from shared.contracts.requests import RejectionsRequest, SignalsRequest
from shared.contracts.symbols import Symbol
from shared.contracts.trading import Exit, FilterResult, Outcome, Rejection, Signal
from shared.runtime.clock import to_ms
from shared.runtime.tasks import alongside
from shared.storage.sqlite import open_view
from tests.support.signals import BTC, CANDLE_AT, M15, signal
from tests.support.system import eventually

ETH = Symbol("ETH/USDT")
NOW = CANDLE_AT + timedelta(days=3)


@pytest.fixture
async def signals(tmp_path: Path) -> AsyncIterator[SignalCopy]:
    async with open_view(tmp_path / "signals.sqlite", trades.SCHEMA) as database:
        yield SignalCopy(database, clock=lambda: NOW)


@pytest.fixture
async def rejected(tmp_path: Path) -> AsyncIterator[RejectionCopy]:
    async with open_view(tmp_path / "rejections.sqlite", rejections.SCHEMA) as database:
        yield RejectionCopy(database, clock=lambda: NOW)


def numbered(number: int, symbol: Symbol = BTC) -> Signal:
    at = CANDLE_AT + number * M15
    return signal(id=f"{symbol.token}.{number:03}", symbol=symbol, candle_at=at, opened_at=at + M15)


def ended(one: Signal, how: Exit = Exit.TAKE_PROFIT, profit: int = 100) -> Signal:
    exit_at = one.opened_at + M15
    if how is Exit.MISSED:
        return replace(one, outcome=Outcome(exit=how, exit_at=exit_at))
    return replace(
        one,
        outcome=Outcome(
            exit=how,
            exit_at=exit_at,
            entry_at=one.opened_at,
            entry_price=100.0,
            exit_price=101.0,
            gross_cents=profit + 6,
            fee_cents=3,
            slippage_cents=2,
            funding_cents=1,
            profit_cents=profit,
        ),
    )


def stored(one: Signal, *, removed: bool = False) -> Item:
    closed = one.outcome is not None
    key = subjects.closed_signal(one.id) if closed else subjects.open_signal(one.symbol)
    value = b"" if removed else codec.encode(one)
    return Item(f"$KV.{subjects.SIGNALS}.{key}", value, 1, removed)


def rejection(number: int, *, symbol: Symbol = BTC, reason: str = "confidence") -> Rejection:
    """One a minute, backwards from now."""
    return Rejection(
        id=f"{symbol.token}.{number:03}.{reason}",
        symbol=symbol,
        timeframe=signal().timeframe,
        at=NOW - number * timedelta(minutes=1),
        reason=reason,
        filters=(FilterResult(name=reason, value=0.5, threshold=0.6, passed=False),),
        metadata={"close": 100.0},
    )


def fact(one: Rejection) -> SignalRejected:
    return SignalRejected(
        id=f"signal.rejected:{one.id}", at=one.at, symbol=one.symbol, rejection=one
    )


def told(*some: Rejection) -> tuple[Item, ...]:
    return tuple(
        Item(subjects.event(fact(one)), codec.encode(fact(one)), number, removed=False)
        for number, one in enumerate(some)
    )


async def listed(copy: SignalCopy, asked: SignalsRequest) -> list[Signal]:
    return codec.decode(codec.encoded_list(await copy.signals(asked)), list[Signal])


async def listed_rejections(copy: RejectionCopy, asked: RejectionsRequest) -> list[Rejection]:
    return codec.decode(codec.encoded_list(await copy.rejected(asked, NOW)), list[Rejection])


# Signals


async def test_signals_come_newest_first_page_by_page(signals: SignalCopy) -> None:
    some = [numbered(number) for number in range(5)]
    await signals.take(tuple(stored(ended(one)) for one in some))
    first = await listed(signals, SignalsRequest(limit=2))
    second = await listed(signals, SignalsRequest(limit=9, before=first[-1].id))
    assert first + second == [ended(one) for one in reversed(some)]


async def test_signals_opened_at_the_same_moment_are_neither_repeated_nor_skipped(
    signals: SignalCopy,
) -> None:
    several = [replace(numbered(1), id=f"X.{n}", symbol=Symbol(f"S{n}")) for n in range(7)]
    await signals.take(tuple(map(stored, several)))
    found: list[Signal] = []
    while page := await listed(
        signals, SignalsRequest(limit=3, before=found[-1].id if found else None)
    ):
        found += page
    assert sorted(one.id for one in found) == [one.id for one in several]


async def test_signals_are_found_by_id_symbol_and_status(signals: SignalCopy) -> None:
    opened, won = numbered(1), ended(numbered(2, ETH))
    late, missed = ended(numbered(3), Exit.EXPIRY), ended(numbered(4), Exit.MISSED)
    await signals.take(tuple(map(stored, (opened, won, late, missed))))

    async def found(asked: SignalsRequest) -> list[Signal]:
        return await listed(signals, asked)

    assert await found(SignalsRequest(id=won.id)) == [won]
    assert await found(SignalsRequest(id="other")) == []
    assert await found(SignalsRequest(symbol=BTC)) == [missed, late, opened]
    assert await found(SignalsRequest(status="open")) == [opened]
    assert await found(SignalsRequest(status="closed")) == [won]
    assert await found(SignalsRequest(status="expired")) == [missed, late]
    assert await found(SignalsRequest(status="expired", symbol=ETH)) == []


async def test_an_outcome_replaces_the_open_signal_and_never_the_reverse(
    signals: SignalCopy,
) -> None:
    one = numbered(1)
    await signals.take((stored(one), stored(ended(one)), stored(one, removed=True)))
    assert await listed(signals, SignalsRequest()) == [ended(one)]
    await signals.take((stored(one),))
    assert await listed(signals, SignalsRequest()) == [ended(one)]


async def test_an_open_signal_that_someone_deleted_is_gone(signals: SignalCopy) -> None:
    await signals.take((stored(numbered(1)), stored(numbered(1), removed=True)))
    assert await listed(signals, SignalsRequest()) == []


async def test_trades_are_what_was_entered_in_the_order_in_which_it_ended(
    signals: SignalCopy,
) -> None:
    first, second = ended(numbered(1), profit=70), ended(numbered(2, ETH), profit=-30)
    others = (ended(numbered(3), Exit.MISSED), numbered(4))
    await signals.take(tuple(map(stored, (second, *others, first))))
    assert await signals.trades(None) == [
        Trade(BTC, to_ms(CANDLE_AT + 3 * M15), 70, 3, 2, 1),
        Trade(ETH, to_ms(CANDLE_AT + 4 * M15), -30, 3, 2, 1),
    ]
    assert [one.profit for one in await signals.trades(CANDLE_AT + 4 * M15)] == [-30]


async def test_what_the_bucket_keeps_no_longer_is_forgotten(signals: SignalCopy) -> None:
    old = ended(replace(numbered(1), opened_at=NOW - KEPT - timedelta(hours=1)))
    await signals.take((stored(old), stored(ended(numbered(2)))))
    await signals.take((stored(ended(numbered(3))), stored(ended(numbered(2)), removed=True)))
    assert await listed(signals, SignalsRequest()) == [ended(numbered(3))]


async def test_signals_of_a_market_of_long_ago_are_kept(signals: SignalCopy) -> None:
    long_ago = NOW - 10 * KEPT
    one = replace(numbered(1), opened_at=NOW)
    ending = replace(ended(one), outcome=Outcome(exit=Exit.MISSED, exit_at=long_ago))
    await signals.take((stored(ending),))
    assert await listed(signals, SignalsRequest()) == [ending]


async def test_what_nobody_can_read_is_passed_over(signals: SignalCopy) -> None:
    torn = Item(f"$KV.{subjects.SIGNALS}.closed.BTC.1", b"{", 1, removed=False)
    foreign = Item(f"$KV.{subjects.SIGNALS}.other", b"{}", 1, removed=False)
    await signals.take((torn, foreign, stored(numbered(1))))
    assert await listed(signals, SignalsRequest()) == [numbered(1)]


# Rejections


async def test_rejections_of_the_last_hours_come_newest_first(rejected: RejectionCopy) -> None:
    some = [rejection(number) for number in (0, 59, 60, 61)]
    await rejected.take(told(*reversed(some)))
    assert await listed_rejections(rejected, RejectionsRequest(hours=1)) == some[:3]
    first = await listed_rejections(rejected, RejectionsRequest(hours=1, limit=2))
    rest = await listed_rejections(rejected, RejectionsRequest(hours=1, before=first[-1].id))
    assert first + rest == some[:3]


async def test_rejections_are_found_by_symbol_and_reason(rejected: RejectionCopy) -> None:
    here, there = rejection(1), rejection(2, symbol=ETH, reason="stale")
    await rejected.take(told(here, there))
    assert await listed_rejections(rejected, RejectionsRequest(symbol=ETH)) == [there]
    assert await listed_rejections(rejected, RejectionsRequest(reason="confidence")) == [here]
    assert (
        await listed_rejections(rejected, RejectionsRequest(symbol=ETH, reason="confidence")) == []
    )


async def test_a_rejection_that_is_told_again_is_kept_once(rejected: RejectionCopy) -> None:
    await rejected.take(told(rejection(1), rejection(1)))
    await rejected.take(told(rejection(1)))
    assert await listed_rejections(rejected, RejectionsRequest()) == [rejection(1)]


async def test_rejections_are_kept_for_thirty_days(rejected: RejectionCopy) -> None:
    month = 30 * 24 * 60
    await rejected.take(told(rejection(month - 1), rejection(month + 1)))
    async with rejected.database.execute("SELECT id FROM rejections") as found:
        assert [id async for (id,) in found] == [rejection(month - 1).id]


# No question reads a whole table


async def plan(database: aiosqlite.Connection, query: str, parameters: dict[str, object]) -> str:
    async with database.execute("EXPLAIN QUERY PLAN " + query, parameters) as found:
        return "\n".join([row[3] async for row in found])


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (RejectionsRequest(), "rejections_newest"),
        (RejectionsRequest(before="x"), "rejections_newest"),
        (RejectionsRequest(symbol=BTC), "rejections_of_symbol"),
        (RejectionsRequest(reason="stale", before="x"), "rejections_of_reason"),
    ],
)
async def test_a_page_of_rejections_is_read_from_an_index(
    rejected: RejectionCopy, asked: RejectionsRequest, index: str
) -> None:
    steps = await plan(rejected.database, *rejections.question(asked, NOW))
    assert f"SEARCH rejections USING INDEX {index}" in steps
    assert "SCAN" not in steps
    assert "TEMP B-TREE" not in steps


@pytest.mark.parametrize(
    ("asked", "step"),
    [
        (SignalsRequest(), "SCAN signals USING INDEX signals_newest"),  # the newest end of it
        (SignalsRequest(before="x"), "SEARCH signals USING INDEX signals_newest"),
        (SignalsRequest(symbol=BTC), "SEARCH signals USING INDEX signals_of_symbol"),
        (SignalsRequest(status="open"), "SEARCH signals USING INDEX signals_of_status"),
        (SignalsRequest(id="x"), "SEARCH signals USING PRIMARY KEY"),
    ],
)
async def test_a_page_of_signals_is_read_from_an_index(
    signals: SignalCopy, asked: SignalsRequest, step: str
) -> None:
    steps = await plan(signals.database, *trades.question(asked))
    assert step in steps
    assert "TEMP B-TREE" not in steps


# Following


@asynccontextmanager
async def following(connection: Connection, stream: str, copy: Copy) -> AsyncIterator[None]:
    async with alongside(follow_stream(connection, stream, copy), name="copy"):
        await copy.complete.wait()
        yield


def stream_of_signals(connection: Connection) -> str:
    return Bucket(connection, subjects.SIGNALS).stream


async def keep(connection: Connection, some: Iterable[Signal]) -> None:
    bucket = Bucket(connection, subjects.SIGNALS)
    for one in some:
        await bucket.put(subjects.closed_signal(one.id), codec.encode(one))


async def test_the_copy_of_signals_follows_the_bucket(
    connection: Connection, signals: SignalCopy
) -> None:
    await keep(connection, [ended(numbered(1))])
    async with following(connection, stream_of_signals(connection), signals):
        assert len(await listed(signals, SignalsRequest())) == 1
        await keep(connection, [ended(numbered(2))])

        async def followed() -> bool:
            return len(await listed(signals, SignalsRequest())) == 2

        await eventually(followed, within=5)


async def test_the_copy_of_rejections_follows_the_events(
    connection: Connection, publisher: Publisher, rejected: RejectionCopy
) -> None:
    await publisher.emit(fact(rejection(1)))
    async with following(connection, subjects.REJECTIONS, rejected):

        async def followed() -> bool:
            return await listed_rejections(rejected, RejectionsRequest()) == [rejection(1)]

        await eventually(followed, within=5)


async def test_after_a_restart_only_what_is_new_is_read(
    connection: Connection, tmp_path: Path
) -> None:
    stream, path = stream_of_signals(connection), tmp_path / "again.sqlite"
    await keep(connection, [ended(numbered(1))])
    async with open_view(path, trades.SCHEMA) as database:
        async with following(connection, stream, SignalCopy(database, clock=lambda: NOW)):
            pass
        await database.execute("DELETE FROM signals")  # so that what is read again would show
    await keep(connection, [ended(numbered(2))])
    async with open_view(path, trades.SCHEMA) as database:
        again = SignalCopy(database, clock=lambda: NOW)
        async with following(connection, stream, again):
            assert await listed(again, SignalsRequest()) == [ended(numbered(2))]


class DiesTaking(SignalCopy):
    async def take(self, items: tuple[Item, ...]) -> None:
        await super().take(items)
        if items:
            raise OSError("the process ends here")


async def test_what_was_not_taken_to_the_end_is_taken_again(
    connection: Connection, signals: SignalCopy
) -> None:
    stream = stream_of_signals(connection)
    await keep(connection, [ended(numbered(1)), ended(numbered(2))])
    with pytest.raises(OSError, match="the process ends here"):
        await follow_stream(connection, stream, DiesTaking(signals.database, clock=lambda: NOW))
    assert await listed(signals, SignalsRequest()) == []
    async with following(connection, stream, signals):
        assert len(await listed(signals, SignalsRequest())) == 2


async def test_a_copy_of_another_stream_is_begun_anew(
    connection: Connection, signals: SignalCopy
) -> None:
    await signals.take((stored(ended(numbered(1))),))
    await copies._keep(signals.database, stream_of_signals(connection), Place("long ago", 900))
    async with following(connection, stream_of_signals(connection), signals):
        assert await listed(signals, SignalsRequest()) == []
