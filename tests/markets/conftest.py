"""The real clients of markets, pointed at servers on this machine."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from shared.market.providers.provider import Provider
from tests.support.binance import Binance
from tests.support.marketplace import BTC, ETH, HISTORY, HandClock, House, SlowClock
from tests.support.stand_in import standing_in

NOT_HERE = "a client of a market is missing: `make markets` has them in a place of its own"


@pytest.fixture
def clock() -> HandClock:
    return HandClock(datetime(2026, 11, 20, 12, 5, tzinfo=UTC))


@pytest.fixture
def their_clock(clock: HandClock) -> SlowClock:
    return SlowClock(clock)


@pytest.fixture
def binance(their_clock: SlowClock) -> Binance:
    return Binance(their_clock, BTC, ETH)


@pytest.fixture
async def exchange(
    binance: Binance, clock: HandClock, their_clock: SlowClock
) -> AsyncIterator[Provider]:
    """Binance, through ccxt; only where it finds it is changed, and how long it waits."""
    exchanges = pytest.importorskip("shared.market.providers.exchanges", reason=NOT_HERE)
    async with standing_in(binance, their_clock) as address:
        api = {
            "public": f"{address}/api/v3",
            "fapiPublic": f"{address}/fapi/v1",
            "dapiPublic": f"{address}/dapi/v1",
        }
        client = exchanges.ccxt.binance({"urls": {"api": api}, "timeout": 2000})
        try:
            yield exchanges.Exchange(client, history=lambda: HISTORY, clock=clock)
        finally:
            await client.close()


@pytest.fixture
def house(exchange: Provider, clock: HandClock) -> House:
    return House(exchange, clock)


@pytest.fixture
def clients() -> None:
    """Skips the test where they are not installed."""
    for library in ("ccxt", "yfinance"):
        pytest.importorskip(library, reason=NOT_HERE)
