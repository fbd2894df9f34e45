"""Follows each open signal through the candles, to its end.

What is open and what the market did are both stored, and how a signal ended follows from the two.
So nothing is lost while no predictor runs, and it is all the same how many do: each settles what it
finds open, and the first to keep an outcome has decided it. To end a signal takes three steps. Who
dies between two of them leaves it open, and whoever comes next does them all again:

1. keep the signal with its outcome, unless that is known already;
2. tell it, unless that was told already;
3. take it from what is open, unless it has gone from there already.

No candle comes any more where the universe has lost the symbol or changed its timeframe. There a
signal ends with the last there is: else it would be open for ever, and count against the cap.
"""

import asyncio
import logging
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Final, Protocol

from services.predictor.domain.endings import Opened
from services.predictor.domain.exposure import Holding
from services.predictor.domain.sequel import needed_since_ms, sequel
from services.predictor.handlers.turns import Turns
from shared.contracts.errors import AppError
from shared.contracts.events import CandlesUpdated
from shared.contracts.records import Problem, Universe
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.contracts.trading import Signal
from shared.trading.settlement import NOT_ENTERED, settle, settle_at_last, value

log = logging.getLogger(__name__)

_AT_ONCE: Final = 4
#: When to try again what failed, if there is no news before.
_AGAIN_S: Final = 10.0
_PROBLEMS_TOLD: Final = 20


class Book(Protocol):
    """Each verb may be done again, and may raise an AppError."""

    async def opened(self, symbol: Symbol) -> Opened | None:
        """What is open of the symbol."""

    async def keep(self, ended: Signal) -> Signal:
        """Keep how it ended, unless that is known already; what is kept."""

    async def tell(self, ended: Signal) -> None:
        """Tell how it ended, unless that was told already."""

    async def release(self, opened: Opened) -> None:
        """It is open no more, unless it has gone already."""


class Candles(Protocol):
    async def read(self, symbol: Symbol, timeframe: Timeframe, *, since_ms: int) -> bytes:
        """Packed rows that open then or later, oldest first. May raise an AppError."""


class Ledger:
    """`complete` is to be set once it has heard of everything that is open. `newest_candle` is the
    open time of the newest one that it heard of, whatever the symbol.
    """

    def __init__(self, book: Book, candles: Candles) -> None:
        self.complete = asyncio.Event()
        self.newest_candle: datetime | None = None
        self._book = book
        self._candles = candles
        self._holdings: dict[Symbol, Holding] = {}
        self._troubles: dict[Symbol, Problem] = {}
        self._universe: Universe | None = None
        self._settling = Turns(self._settle, at_once=_AT_ONCE)

    async def run(self) -> None:
        """Settle what there is news of; never returns."""
        await self._settling.run()

    @property
    def holdings(self) -> list[Holding]:
        """What is open, each at the newest close that was seen."""
        return list(self._holdings.values())

    def problems(self) -> tuple[Problem, ...]:
        """What keeps signals from being followed, for the first few of them."""
        return tuple(islice(self._troubles.values(), _PROBLEMS_TOLD))

    def on_opened(self, signal: Signal) -> None:
        """Candles may have come before the word of the signal, or while nobody listened."""
        held = self._holdings.get(signal.symbol)
        if held is None or held.signal.id != signal.id:
            self._holdings[signal.symbol] = Holding(signal, NOT_ENTERED)
        self._settling.order(signal.symbol)

    def on_gone(self, symbol: Symbol) -> None:
        self._holdings.pop(symbol, None)

    def on_universe(self, universe: Universe) -> None:
        self._universe = universe
        for symbol, held in self._holdings.items():
            if self._is_left_alone(held.signal):
                self._settling.order(symbol)

    def on_candles(self, updated: CandlesUpdated) -> None:
        self.newest_candle = max(self.newest_candle or updated.candle_at, updated.candle_at)
        held = self._holdings.get(updated.symbol)
        if held is not None and held.signal.timeframe is updated.timeframe:
            self._settling.order(updated.symbol)

    async def _settle(self, symbol: Symbol) -> float | None:
        try:
            await self._follow(symbol)
        except AppError as exc:
            log.warning("signal not settled", extra={"symbol": symbol, "reason": str(exc)})
            message = f"the signal of {symbol} cannot be followed: {exc}"
            self._troubles[symbol] = Problem(code=exc.code, message=message)
            return asyncio.get_running_loop().time() + _AGAIN_S
        self._troubles.pop(symbol, None)
        return None

    async def _follow(self, symbol: Symbol) -> None:
        opened = await self._book.opened(symbol)
        if opened is None:
            self._holdings.pop(symbol, None)
            return
        signal = opened.signal
        since_ms = needed_since_ms(signal)
        rows = await self._candles.read(symbol, signal.timeframe, since_ms=since_ms)
        candles = sequel(signal, rows)
        outcome = settle(signal, candles)
        if outcome is None and self._is_left_alone(signal):
            outcome = settle_at_last(signal, candles)
        if outcome is None:
            self._holdings[symbol] = Holding(signal, value(signal, candles))
        else:
            await self._end(opened, replace(signal, outcome=outcome))

    def _is_left_alone(self, signal: Signal) -> bool:
        """Whether it is known that no candle will come any more."""
        there = self._universe
        return there is not None and (
            signal.symbol not in there.symbols or signal.timeframe is not there.timeframe
        )

    async def _end(self, opened: Opened, ended: Signal) -> None:
        kept = await self._book.keep(ended)
        await self._book.tell(kept)
        await self._book.release(opened)
        self._holdings.pop(ended.symbol, None)
        assert kept.outcome is not None
        log.info(
            "signal ended",
            extra={
                "signal": kept.id,
                "exit": str(kept.outcome.exit),
                "profit_cents": kept.outcome.profit_cents,
            },
        )
