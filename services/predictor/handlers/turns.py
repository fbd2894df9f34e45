"""One kind of work for many symbols, in turns."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn

from services.predictor.domain.agenda import Agenda
from shared.contracts.symbols import Symbol

#: Works on one symbol and says at which tick it is due again, if at all.
Turn = Callable[[Symbol], Awaitable[float | None]]


class Turns:
    """A few symbols at a time, never one symbol twice at once. However often a symbol is ordered
    before its turn begins, it gets one; ordered during its turn, it gets another.
    """

    def __init__(self, turn: Turn, *, at_once: int) -> None:
        self._turn = turn
        self._at_once = at_once
        self._agenda = Agenda()
        self._news = asyncio.Event()
        self._ends: dict[Symbol, asyncio.Event] = {}

    def order(self, symbol: Symbol, *, not_before: float = 0.0) -> None:
        self._agenda.add(symbol, not_before=not_before)
        self._news.set()

    def cancel(self, symbol: Symbol) -> None:
        """Forget an order; a turn that has begun goes on."""
        self._agenda.discard(symbol)

    async def next_end(self, symbol: Symbol) -> None:
        """Wait for the end of the turn that is under way, or else of one that comes next, before
        those of all who do not ask.
        """
        self._agenda.hurry(symbol)
        await self._end_of(symbol)

    async def own_end(self, symbol: Symbol) -> None:
        """Wait for the end of the turn that is under way, or else of one that comes when all who
        were due before have had theirs.
        """
        self._agenda.add(symbol)
        await self._end_of(symbol)

    async def _end_of(self, symbol: Symbol) -> None:
        ended = self._ends.setdefault(symbol, asyncio.Event())
        self._news.set()
        await ended.wait()

    async def run(self) -> None:
        """Never returns; cancelled in the middle of a turn, that turn has no end."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(self._take())

    async def _take(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        while True:
            symbol = self._agenda.take(loop.time())
            if symbol is None:
                await self._nothing_due(loop.time())
            else:
                again = await self._turn(symbol)
                self._end(symbol, again)

    def _end(self, symbol: Symbol, again: float | None) -> None:
        self._agenda.done(symbol)
        if again is not None:
            self._agenda.add(symbol, not_before=again)
        if (ended := self._ends.pop(symbol, None)) is not None:
            ended.set()
        self._news.set()

    async def _nothing_due(self, tick: float) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._agenda.next_in(tick)):
                await self._news.wait()
