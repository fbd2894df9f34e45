"""What a trader is told of each symbol: the newest prediction, and how good its model is."""

import asyncio
from typing import Protocol

from services.predictor.domain.desk import Desk
from services.predictor.domain.desks import Desks
from services.predictor.domain.freshness import Moment
from shared.contracts.errors import NotReady
from shared.contracts.records import Universe
from shared.contracts.symbols import Symbol
from shared.runtime.clock import Clock
from shared.trading.signals import Outlook


class Computer(Protocol):
    async def freshen(self, desk: Desk) -> None:
        """Wait until its entry is as new as it can be, but not for long."""


class Outlooks:
    """Knows of no symbol before it has heard of the universe."""

    def __init__(self, desks: Desks, computer: Computer, *, clock: Clock) -> None:
        self._desks = desks
        self._computer = computer
        self._clock = clock
        self._universe: Universe | None = None

    def on_universe(self, universe: Universe) -> None:
        self._universe = universe

    def covered(self) -> tuple[Symbol, ...]:
        return self._universe.symbols if self._universe else ()

    async def outlook(self, symbol: Symbol) -> Outlook:
        desk = self._desks.of(symbol)
        await self._computer.freshen(desk)
        now = Moment(self._clock(), asyncio.get_running_loop().time())
        try:
            prediction = desk.answer(now)
        except NotReady as exc:
            assert self._universe is not None
            return Outlook(symbol=symbol, timeframe=self._universe.timeframe, note=str(exc))
        assert desk.live is not None  # or there would be no answer
        return Outlook(
            symbol=symbol,
            timeframe=prediction.timeframe,
            prediction=prediction,
            scores=desk.live.scores,
        )
