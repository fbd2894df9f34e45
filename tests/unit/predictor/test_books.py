import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from services.predictor.domain.exposure import Holding
from services.predictor.domain.profit import Trade
from services.predictor.handlers.books import Books
from shared.contracts import codec
from shared.contracts.configuration import Configuration
from shared.contracts.errors import NotFound, Unavailable
from shared.contracts.requests import (
    ExposureRequest,
    ProfitRequest,
    RejectionsRequest,
    SignalsRequest,
)
from shared.contracts.trading import Signal
from shared.runtime.clock import to_ms
from shared.runtime.tasks import alongside
from shared.trading.settlement import Value
from tests.support.signals import BTC, CANDLE_AT, signal

NOW = CANDLE_AT + timedelta(days=10)


def complete() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class FakeSignals:
    stored: list[Signal] = field(default_factory=list)
    ended: list[Trade] = field(default_factory=list)
    complete: asyncio.Event = field(default_factory=complete)

    async def signals(self, asked: SignalsRequest) -> list[bytes]:
        return [codec.encode(one) for one in self.stored if asked.id in (None, one.id)]

    async def trades(self, since: datetime | None) -> list[Trade]:
        return [one for one in self.ended if since is None or one.ended_ms >= to_ms(since)]


@dataclass
class FakeRejections:
    complete: asyncio.Event = field(default_factory=complete)

    async def rejected(self, asked: RejectionsRequest, now: datetime) -> list[bytes]:
        return []


@dataclass
class FakeLedger:
    holdings: list[Holding] = field(default_factory=list)
    newest_candle: datetime | None = None
    complete: asyncio.Event = field(default_factory=complete)


@dataclass
class Office:
    signals: FakeSignals = field(default_factory=FakeSignals)
    rejections: FakeRejections = field(default_factory=FakeRejections)
    ledger: FakeLedger = field(default_factory=FakeLedger)

    @property
    def books(self) -> Books:
        return Books(
            signals=self.signals, rejections=self.rejections, ledger=self.ledger, clock=lambda: NOW
        )


@pytest.fixture
def office() -> Office:
    return Office()


def ended(profit: int, days_ago: int) -> Trade:
    return Trade(BTC, to_ms(NOW - timedelta(days=days_ago)), profit, 0, 0, 0)


async def test_a_signal_that_nobody_knows_is_not_found(office: Office) -> None:
    office.signals.stored = [signal()]
    found = await office.books.signals(SignalsRequest(id=signal().id))
    assert codec.decode(found, list[Signal]) == [signal()]
    with pytest.raises(NotFound, match="there is no signal other"):
        await office.books.signals(SignalsRequest(id="other"))


async def test_no_signals_at_all_is_an_empty_list(office: Office) -> None:
    assert await office.books.signals(SignalsRequest()) == b"[]"


async def test_profit_may_be_limited_to_the_last_days(office: Office) -> None:
    office.signals.ended = [ended(100, days_ago=5), ended(-30, days_ago=2)]
    assert (await office.books.pnl(ProfitRequest())).realised_cents == 70
    lately = await office.books.pnl(ProfitRequest(days=3))
    assert (lately.days, lately.realised_cents) == (3, -30)


async def test_days_are_those_of_the_market(office: Office) -> None:
    office.signals.ended = [ended(100, days_ago=1005), ended(-30, days_ago=1002)]
    office.ledger.newest_candle = NOW - timedelta(days=1000)
    assert (await office.books.pnl(ProfitRequest(days=3))).realised_cents == -30


async def test_what_is_open_is_unrealised_profit_and_exposure(office: Office) -> None:
    office.ledger.holdings = [Holding(signal(), Value(100.0, 102.0, 10_000))]
    profit = await office.books.pnl(ProfitRequest())
    assert (profit.realised_cents, profit.unrealised_cents) == (0, 10_000)
    assert (await office.books.exposure(ExposureRequest())).long_cents == 500_000


async def test_capital_and_cap_are_those_in_force(office: Office) -> None:
    books = office.books
    usual = Configuration()
    assert (await books.pnl(ProfitRequest())).capital_cents == usual.paper_capital * 100
    books.on_configuration(replace(usual, paper_capital=500, max_exposure_pct=50.0))
    assert (await books.pnl(ProfitRequest())).capital_cents == 50_000
    assert (await books.exposure(ExposureRequest())).cap_cents == 25_000


async def test_nothing_is_answered_from_half_of_the_books(office: Office) -> None:
    books = office.books
    for source in (office.signals, office.rejections, office.ledger):
        source.complete.clear()
    for question in (
        books.signals(SignalsRequest()),
        books.rejected(RejectionsRequest()),
        books.pnl(ProfitRequest()),
        books.exposure(ExposureRequest()),
    ):
        with pytest.raises(Unavailable, match="still being read"):
            await question


async def test_who_asks_a_moment_too_early_waits(office: Office) -> None:
    office.ledger.complete.clear()

    async def read_the_rest() -> None:
        await asyncio.sleep(2)
        office.ledger.complete.set()

    async with alongside(read_the_rest(), name="reading"):
        assert (await office.books.exposure(ExposureRequest())).positions == ()
