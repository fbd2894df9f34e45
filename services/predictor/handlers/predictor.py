"""What the predictor does with what it hears, and what it answers.

News only marks a symbol as due. Computing and telling go in turns of their own; whoever asks for
what is not fresh waits for the end of the symbol's next computing turn.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import Final, Protocol

from services.predictor.domain.desk import Desk
from services.predictor.domain.freshness import Moment
from services.predictor.domain.selection import narrowed, ranked
from services.predictor.handlers.forecaster import Forecaster, problem
from services.predictor.handlers.turns import Turns
from shared.contracts.errors import AppError, NotReady, UnknownSymbol
from shared.contracts.events import CandlesUpdated
from shared.contracts.records import (
    ModelRecord,
    Prediction,
    Pregenerated,
    Problem,
    Ranked,
    Universe,
)
from shared.contracts.requests import PredictRequest, PregenerateRequest, TopRequest
from shared.contracts.symbols import Symbol
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)

#: One turn is a few reads and a millisecond of arithmetic.
_AT_ONCE: Final = 4
#: Less than askers wait for an answer, so that they hear something stale rather than nothing.
_WAIT_S: Final = 3.0
#: The turn that was under way when the question came, and one that began later.
_TURNS: Final = 2
#: When to tell again what could not be told.
_TELL_AGAIN_S: Final = 2.0
_PROBLEMS_TOLD: Final = 20
#: Predictions made in advance.
_TOLD_EVERY: Final = 100
_COUNTED: Final = ("hits", "misses", "stale", "failures")


class Predictions(Protocol):
    async def publish(self, prediction: Prediction) -> None:
        """Tell it to everyone, unless they know it, or a newer one, already.

        Raises:
            AppError: that could not be done now.
        """


class Predictor:
    """Knows the newest defensible prediction of every symbol in the universe. Without `caching`
    every question is computed anew.
    """

    def __init__(
        self, forecaster: Forecaster, predictions: Predictions, *, clock: Clock, caching: bool
    ) -> None:
        self._forecaster = forecaster
        self._predictions = predictions
        self._clock = clock
        self._caching = caching
        self._universe: frozenset[Symbol] | None = None
        self._desks: dict[Symbol, Desk] = {}
        self._computing = Turns(self._compute, at_once=_AT_ONCE)
        self._telling = Turns(self._tell, at_once=_AT_ONCE)
        self._counted: Counter[str] = Counter()

    async def run(self) -> None:
        """Compute and tell what is due; never returns."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._computing.run())
            group.create_task(self._telling.run())

    # What it hears

    def on_universe(self, universe: Universe) -> None:
        """Compute what is new; what was removed is neither computed nor told any more."""
        before, self._universe = self._universe or frozenset(), frozenset(universe.symbols)
        for symbol in before - self._universe:
            self._computing.cancel(symbol)
        for symbol in universe.symbols:
            if symbol not in before:
                self._order(self._desk(symbol))

    def on_model(self, record: ModelRecord) -> None:
        desk = self._desk(record.symbol)
        if desk.promote(record):
            self._order(desk)

    def on_model_removed(self, symbol: Symbol) -> None:
        self._desk(symbol).withdraw()

    def on_candles(self, updated: CandlesUpdated) -> None:
        desk = self._desk(updated.symbol)
        ours = desk.live is not None and desk.live.timeframe is updated.timeframe
        if ours and desk.hear(updated.candle_at):
            self._order(desk)

    def on_reconnect(self) -> None:
        """Candles may have been missed, and what failed for lack of NATS may work again."""
        for desk in self._desks.values():
            desk.forgive()
            self._order(desk)

    def remember(self, prediction: Prediction) -> None:
        """Take what was told in an earlier life as an answer of last resort, never as fresh."""
        self._desk(prediction.symbol).remember(prediction)

    # What it answers

    async def get(self, asked: PredictRequest) -> Prediction:
        """The newest prediction, marked stale with a reason where the newest cannot be computed.

        Raises:
            UnknownSymbol: the symbol is not in the universe.
            UnknownHorizon: its model has no such horizon.
            NotReady: there is no model of it, or nothing could be computed from it yet.
        """
        desk = self._asked_desk(asked.symbol)
        computed = await self._refreshed(desk)
        prediction = narrowed(desk.answer(self._now()), asked.horizon)
        self._counted["misses" if computed else "hits"] += 1
        self._counted["stale"] += prediction.stale
        return replace(prediction, cache="miss") if computed else prediction

    async def top(self, asked: TopRequest) -> list[Ranked]:
        """The best of what is known, without computing anything.

        Raises:
            UnknownHorizon: no model has the asked horizon.
        """
        now = self._now()
        return ranked((desk.answer(now) for desk in self._answering()), asked)

    async def pregenerate(self, asked: PregenerateRequest) -> Pregenerated:
        """Make predictions anew before anyone asks, and say how it went.

        Raises:
            UnknownSymbol: a named symbol is not in the universe.
        """
        named = asked.symbols
        desks = list(self._covered()) if named is None else [self._asked_desk(s) for s in named]
        modelled = [desk for desk in desks if desk.live is not None]
        ttl = timedelta(hours=asked.ttl_hours) if asked.ttl_hours else None
        made = 0
        for number, desk in enumerate(modelled, 1):
            made += await self._renewed(desk, ttl)
            if number % _TOLD_EVERY == 0 or number == len(modelled):
                log.info("pregenerating", extra={"done": number, "of": len(modelled)})
        waiting = len(desks) - len(modelled)
        return Pregenerated(made=made, failed=len(modelled) - made, waiting=waiting)

    def problems(self) -> tuple[Problem, ...]:
        """What keeps predictions from being the newest, for the first few symbols."""
        troubles = (
            Problem(code=trouble.code, message=f"{desk.symbol}: {trouble.message}")
            for desk in self._covered()
            if (trouble := desk.problem)
        )
        return tuple(islice(troubles, _PROBLEMS_TOLD))

    def figures(self) -> dict[str, float]:
        cached = sum(1 for _ in self._answering())
        return {name: float(self._counted[name]) for name in _COUNTED} | {
            "models_loaded": float(self._forecaster.models_loaded),
            "predictions_cached": float(cached),
        }

    # Its turns

    async def _compute(self, symbol: Symbol) -> float | None:
        desk, now = self._desks[symbol], self._now()
        if desk.live is None or desk.rests(now.tick):
            return desk.due_again
        heard = desk.newest
        try:
            prediction = await self._forecaster.predict(desk, desk.live, now)
        except AppError as exc:
            desk.fail(problem(exc), self._now().tick)
            log.warning("no new prediction", extra={"symbol": symbol, "reason": str(exc)})
        else:
            desk.succeed(prediction, now, heard=heard)
        self._counted["failures"] += desk.problem is not None
        self._telling.order(symbol)
        return desk.due_again if symbol in (self._universe or ()) else None

    async def _tell(self, symbol: Symbol) -> float | None:
        """Also that the newest is not the newest any more."""
        desk = self._desks[symbol]
        if desk.live is None or desk.entry is None:
            return None
        now = self._now()
        try:
            await self._predictions.publish(desk.answer(now))
        except AppError as exc:
            log.warning("prediction not told", extra={"symbol": symbol, "reason": str(exc)})
            return now.tick + _TELL_AGAIN_S
        return None

    async def _refreshed(self, desk: Desk) -> bool:
        """Wait until the entry is as new as it can be; says whether it was computed for that."""
        before = desk.entry
        if self._caching and desk.settled(self._now()):
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_S):
                for _ in range(_TURNS):
                    if desk.live is None or desk.rests(self._now().tick):
                        break
                    await self._computing.next_end(desk.symbol)
                    if desk.settled(self._now()):
                        break
        return desk.entry is not before

    async def _renewed(self, desk: Desk, ttl: timedelta | None) -> bool:
        """Compute the entry in a turn that begins now; says whether there is a new one."""
        asked_at = self._now().tick
        with suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_S):
                for _ in range(_TURNS):
                    desk.lasting = ttl
                    await self._computing.next_end(desk.symbol)
                    if desk.entry is not None and desk.entry.made >= asked_at:
                        return True
        desk.lasting = None
        return False

    def _order(self, desk: Desk) -> None:
        if desk.live is not None and desk.symbol in (self._universe or ()):
            self._computing.order(desk.symbol, not_before=desk.resting_until)

    def _asked_desk(self, symbol: Symbol) -> Desk:
        if self._universe is None:
            raise NotReady("which symbols there are is not known yet: is the scheduler running?")
        if symbol not in self._universe:
            raise UnknownSymbol(f"{symbol} is not in the universe")
        return self._desk(symbol)

    def _desk(self, symbol: Symbol) -> Desk:
        return self._desks.setdefault(symbol, Desk(symbol=symbol))

    def _covered(self) -> Iterator[Desk]:
        return (desk for desk in self._desks.values() if desk.symbol in (self._universe or ()))

    def _answering(self) -> Iterator[Desk]:
        return (desk for desk in self._covered() if desk.live and desk.entry)

    def _now(self) -> Moment:
        return Moment(self._clock(), asyncio.get_running_loop().time())
