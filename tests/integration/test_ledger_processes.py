"""The ledger in real predictors: one, one that is killed, and two at once."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from shared.bus import rpc
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.errors import NotFound, Unavailable
from shared.contracts.events import SignalRejected
from shared.contracts.requests import (
    ExposureRequest,
    ProfitRequest,
    RejectionsRequest,
    SignalsRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.contracts.trading import (
    Exit,
    ExposureReport,
    FilterResult,
    ProfitReport,
    Rejection,
    Side,
    Signal,
)
from shared.market.candles import Candle
from shared.market.store import CandleStore
from shared.runtime.clock import from_ms, utc_now
from shared.trading.settlement import settle
from tests.support.predicting import candles_updated, universe
from tests.support.signals import candle, flat, signal

SYMBOLS = tuple(Symbol(f"S{number:03}/USDT") for number in range(150))
#: Up, down, and neither far enough for anyone.
PATHS = (
    [flat(1), candle(2, 100, 104, 99, 104)],
    [flat(1), candle(2, 100, 101, 96, 98)],
    [flat(1), flat(2), candle(3, 100, 102, 99, 101)],
)


def path(number: int) -> list[Candle]:
    return PATHS[number % len(PATHS)]


def given(number: int) -> Signal:
    symbol = SYMBOLS[number]
    side = Side.LONG if number % 2 else Side.SHORT
    return replace(
        signal(side, fee_pct=0.1, slippage_pct=0.05),
        id=f"{symbol.token}.1",
        symbol=symbol,
        stake_cents=100_000 + number,
    )


def expected() -> dict[str, Signal]:
    """How each ends, by id."""
    signals = [given(number) for number in range(len(SYMBOLS))]
    return {
        one.id: replace(one, outcome=settle(one, path(number)))
        for number, one in enumerate(signals)
    }


T = TypeVar("T")


class Market:
    """Every symbol with an open signal and the candles that end it."""

    def __init__(self, connection: Connection, url: str, data_dir: Path) -> None:
        self.connection = connection
        self._url = url
        self._data_dir = data_dir
        self._signals = Bucket(connection, subjects.SIGNALS)
        self._candles = CandleStore(Bucket(connection, subjects.CANDLES))
        self._publisher = Publisher(connection)

    async def begins(self) -> None:
        config = Bucket(self.connection, subjects.CONFIG)
        await config.put(subjects.UNIVERSE, codec.encode(universe(*SYMBOLS)))

    async def opens(self, number: int) -> None:
        key = subjects.open_signal(SYMBOLS[number])
        await self._signals.create(key, codec.encode(given(number)))

    async def rejects(self, one: Rejection) -> None:
        await self._publisher.emit(
            SignalRejected(
                id=f"signal.rejected:{one.id}", at=one.at, symbol=one.symbol, rejection=one
            )
        )

    async def moves(self, number: int, *candles: Candle) -> None:
        """And says so."""
        symbol = SYMBOLS[number]
        await self._candles.append(symbol, Timeframe.M15, candles)
        await self._publisher.emit(candles_updated(from_ms(candles[-1].at_ms), symbol=symbol))

    @asynccontextmanager
    async def predictor(self, name: str = "one") -> AsyncIterator[asyncio.subprocess.Process]:
        """One that is killed at the end of the body, if not before."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "services.predictor"),
            env=os.environ | {"NATS_URL": self._url, "DATA_DIR": str(self._data_dir / name)},
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def ended(self) -> dict[str, Signal]:
        entries = await self._signals.entries("closed.>")
        return {one.id: one for one in (codec.decode(entry.value, Signal) for entry in entries)}

    async def still_open(self) -> int:
        return len(await self._signals.entries(subjects.OPEN_SIGNALS))

    async def told(self) -> dict[str, int]:
        """How often an ending was told, by its subject, which names the symbol."""
        stream = await self.connection.js.stream_info(
            subjects.EVENTS, subjects_filter="evertrain.event.signal.>"
        )
        return stream.state.subjects or {}

    async def answers(self, name: str, question: object, kind: type[T]) -> T:
        return await rpc.ask(self.connection, f"evertrain.predictor.{name}", question, kind)

    async def profit(self) -> ProfitReport:
        return await self.answers("pnl", ProfitRequest(), ProfitReport)


async def until(holds: Callable[[], Awaitable[bool]], *, within: float = 30) -> None:
    async with asyncio.timeout(within):
        while True:
            try:
                if await holds():
                    return
            except Unavailable:
                pass
            await asyncio.sleep(0.02)


@pytest.fixture
async def market(connection: Connection, nats_url: str, tmp_path: Path) -> Market:
    market = Market(connection, nats_url, tmp_path)
    await market.begins()
    return market


async def open_and_end(market: Market, number: int) -> None:
    await market.moves(number, *path(number))
    await market.opens(number)


async def everything_ended_once(market: Market) -> None:
    wanted = expected()
    assert await market.ended() == wanted
    told = await market.told()
    assert set(told.values()) == {1}
    assert len(told) == len(wanted)


async def test_a_predictor_follows_a_signal_to_its_end(market: Market) -> None:
    async def exposure() -> ExposureReport:
        return await market.answers("exposure", ExposureRequest(), ExposureReport)

    async def nothing_is_open() -> bool:
        return not (await exposure()).positions

    async def is_valued() -> bool:
        return [one.price for one in (await exposure()).positions] == [101.0]

    async def is_over() -> bool:
        return await nothing_is_open() and (await market.profit()).trades == 1

    async with market.predictor():
        await until(nothing_is_open)
        await market.opens(1)
        await market.moves(1, candle(1, 100, 102, 99, 101))
        await until(is_valued)
        (position,) = (await exposure()).positions
        assert position.unrealised_cents == (await market.profit()).unrealised_cents > 0
        await market.moves(1, candle(2, 101, 105, 101, 104))
        await until(is_over)
        (found,) = await market.answers("signals", SignalsRequest(status="closed"), list[Signal])
        assert found == (await market.ended())[given(1).id]
        assert found.outcome is not None
        assert found.outcome.exit is Exit.TAKE_PROFIT
        with pytest.raises(NotFound, match="there is no signal other"):
            await market.answers("signals", SignalsRequest(id="other"), list[Signal])


async def test_a_rejection_is_found_by_whoever_asks(market: Market) -> None:
    one = Rejection(
        id="S000_USDT.1.stale",
        symbol=SYMBOLS[0],
        timeframe=Timeframe.M15,
        at=utc_now(),
        reason="stale",
        filters=(FilterResult(name="stale", value=1.0, threshold=0.0, passed=False),),
        metadata={"close": 100.0},
    )
    await market.rejects(one)
    async with market.predictor():

        async def is_found() -> bool:
            asked = RejectionsRequest(symbol=one.symbol)
            return await market.answers("rejected", asked, list[Rejection]) == [one]

        await until(is_found)


async def test_predictors_killed_again_and_again_end_every_signal_once(market: Market) -> None:
    for begin in range(0, len(SYMBOLS), 30):
        for number in range(begin, begin + 30):
            await open_and_end(market, number)
        before = await market.still_open()

        async def one_has_ended(before: int = before) -> bool:
            return await market.still_open() < before

        async with market.predictor():
            await until(one_has_ended)

    async def all_are_counted() -> bool:
        return not await market.still_open() and (await market.profit()).trades == len(SYMBOLS)

    async with market.predictor():
        await until(all_are_counted)
        report = await market.profit()
    await everything_ended_once(market)
    profits = [one.outcome.profit_cents for one in expected().values() if one.outcome]
    assert report.realised_cents == sum(profits)


async def test_two_predictors_at_once_end_every_signal_once(market: Market) -> None:
    for number in range(len(SYMBOLS)):
        await open_and_end(market, number)
    async with market.predictor("one"), market.predictor("two"):

        async def all_ended() -> bool:
            return await market.still_open() == 0

        await until(all_ended)
    await everything_ended_once(market)
