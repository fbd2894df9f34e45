"""What the predictor does with what it hears, and what it answers.

News only marks a symbol as due. Computing and telling go in turns of their own; whoever asks for
what is not fresh waits for the end of the symbol's next computing turn.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Literal, Protocol

from services.predictor.domain.desk import Desk
from services.predictor.domain.desks import Desks
from services.predictor.domain.freshness import Moment, just_made
from services.predictor.domain.selection import narrowed, ranked
from services.predictor.handlers.forecaster import Forecaster, problem
from services.predictor.handlers.turns import Turns
from shared.contracts import codec
from shared.contracts.errors import AppError
from shared.contracts.events import CandlesUpdated
from shared.contracts.records import ModelRecord, Prediction, Problem, Ranked, Universe
from shared.contracts.requests import PredictRequest, TopRequest
from shared.contracts.symbols import Symbol
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)

#: One turn is a few reads and a millisecond of arithmetic.
AT_ONCE: Final = 4
#: Less than askers wait for an answer, so that they hear something stale rather than nothing.
_WAIT_S: Final = 3.0
#: The turn that was under way when the question came, and one that began later.
_TURNS: Final = 2
#: Nobody waits for what is made in advance, so it stands behind all that is due.
_PATIENCE_S: Final = 60.0
#: When to tell again what could not be told.
_TELL_AGAIN_S: Final = 2.0
#: What was forgotten and is not asked for is made again for those who only listen.
_FORGOTTEN_S: Final = 30.0
_PROBLEMS_TOLD: Final = 20

#: Where an answer came from.
Tier = Literal["memory", "disk", "miss"]


class Predictions(Protocol):
    async def publish(self, prediction: Prediction) -> Prediction:
        """Tell it to everyone, unless they know it, or a newer one, already; what they know now.

        Raises:
            AppError: that could not be done now.
        """


class Disk(Protocol):
    """Predictions that outlive this process. Where it does not work it has nothing: no method
    raises.
    """

    async def find(self, record: ModelRecord, now: datetime) -> Prediction | None:
        """The one by this model from the newest candle, unless its time is over."""

    async def keep(self, prediction: Prediction) -> None: ...

    async def forget(self, symbols: Collection[Symbol]) -> None: ...


class Predictor:
    """Knows the newest defensible prediction of every symbol in the universe. Without `caching`
    every question is computed anew.
    """

    def __init__(
        self,
        desks: Desks,
        forecaster: Forecaster,
        predictions: Predictions,
        disk: Disk,
        *,
        clock: Clock,
        caching: bool,
    ) -> None:
        self.counted: Counter[str] = Counter()
        self._desks = desks
        self._forecaster = forecaster
        self._predictions = predictions
        self._disk = disk
        self._clock = clock
        self._caching = caching
        self._computing = Turns(self._compute, at_once=AT_ONCE)
        self._telling = Turns(self._tell, at_once=AT_ONCE)

    async def run(self) -> None:
        """Compute and tell what is due; never returns."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._computing.run())
            group.create_task(self._telling.run())

    # What it hears

    def on_universe(self, universe: Universe) -> None:
        """Compute what is new; what was removed is neither computed nor told any more."""
        before = self._desks.cover(universe.symbols)
        for symbol in before.difference(universe.symbols):
            self._computing.cancel(symbol)
        for symbol in universe.symbols:
            if symbol not in before:
                self._order(self._desks.of(symbol))

    def on_model(self, record: ModelRecord) -> None:
        desk = self._desks.of(record.symbol)
        if desk.promote(record):
            self._order(desk)

    def on_model_removed(self, symbol: Symbol) -> None:
        self._desks.of(symbol).withdraw()

    def on_candles(self, updated: CandlesUpdated) -> None:
        desk = self._desks.of(updated.symbol)
        ours = desk.live is not None and desk.live.timeframe is updated.timeframe
        if ours and desk.hear(updated.candle_at):
            self._order(desk)

    def on_told(self, prediction: Prediction) -> None:
        """Some predictor, this one or another, now or in an earlier life, told it to everyone."""
        desk = self._desks.of(prediction.symbol)
        if desk.entry is None:
            desk.remember(prediction)
        else:
            desk.extend(prediction, self._now())

    def on_forgotten(self, symbol: Symbol) -> None:
        """Some predictor was told to forget it, and so do all."""
        self.forget(symbol)
        self._telling.order(symbol)

    def on_reconnect(self) -> None:
        """Candles may have been missed, and what failed for lack of NATS may work again."""
        for desk in self._desks.all():
            desk.forgive()
            self._order(desk)

    # What it answers

    async def get(self, asked: PredictRequest) -> Prediction:
        """The newest prediction, marked stale with a reason where the newest cannot be computed.

        Raises:
            UnknownSymbol: the symbol is not in the universe.
            UnknownHorizon: its model has no such horizon.
            NotReady: there is no model of it, or nothing could be computed from it yet.
        """
        desk = self._desks.asked(asked.symbol)
        tier = await self._refreshed(desk)
        prediction = narrowed(desk.answer(self._now()), asked.horizon)
        self.counted[tier] += 1
        self.counted["stale"] += prediction.stale
        return prediction if tier == "memory" else replace(prediction, cache=tier)

    async def reply(self, asked: PredictRequest) -> bytes:
        """What `get` gives, as it is sent: most often that was encoded when it was computed."""
        prediction = await self.get(asked)
        entry = self._desks.of(asked.symbol).entry
        if entry and entry.prediction is prediction:
            return entry.body
        return codec.encode(prediction)

    async def top(self, asked: TopRequest) -> list[Ranked]:
        """The best of what is known, without computing anything.

        Raises:
            UnknownHorizon: no model has the asked horizon.
        """
        now = self._now()
        return ranked((desk.answer(now) for desk in self._desks.answering()), asked)

    def problems(self) -> tuple[Problem, ...]:
        """What keeps predictions from being the newest, for the first few symbols."""
        troubles = (
            Problem(code=trouble.code, message=f"{desk.symbol}: {trouble.message}")
            for desk in self._desks.covered()
            if (trouble := desk.problem)
        )
        return tuple(islice(troubles, _PROBLEMS_TOLD))

    async def freshen(self, desk: Desk) -> None:
        """Wait until the entry is as new as it can be, but no longer than askers do."""
        if not desk.settled(self._now()):
            await self._computed(desk)

    # What is done in its cache

    def forget(self, symbol: Symbol) -> None:
        """Have no prediction of it in memory, until someone asks or a while has passed."""
        desk = self._desks.of(symbol)
        desk.forget()
        self._order(desk, not_before=self._now().tick + _FORGOTTEN_S)

    async def renew(self, desk: Desk, ttl: timedelta) -> Literal["kept", "made", "failed"]:
        """Have a prediction that was made just now, to live for `ttl`, when nothing else is due.
        What is made is on disk and told by then, where that works.
        """
        if self._just_made(desk, ttl):
            return "kept"
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                for _ in range(_TURNS):
                    desk.lasting = ttl
                    await self._computing.own_end(desk.symbol)
                    if self._just_made(desk, ttl):
                        await self._told(desk)
                        return "kept" if desk.recalled else "made"
        desk.lasting = None
        return "failed"

    # Its turns

    async def _compute(self, symbol: Symbol) -> float | None:
        desk, now = self._desks.of(symbol), self._now()
        if desk.live is None or desk.rests(now.tick):
            return desk.due_again
        heard = desk.newest
        try:
            if not await self._recalled(desk, desk.live, now):
                prediction = await self._forecaster.predict(desk, desk.live, now)
                desk.succeed(prediction, now, heard=heard)
        except AppError as exc:
            desk.fail(problem(exc), self._now().tick)
            log.warning("no new prediction", extra={"symbol": symbol, "reason": str(exc)})
        self.counted["failures"] += desk.problem is not None
        self._telling.order(symbol)
        return desk.due_again if self._desks.covers(symbol) else None

    async def _recalled(self, desk: Desk, live: ModelRecord, now: Moment) -> bool:
        """Whether the disk has what would be computed now, which is then the entry."""
        if not desk.lacks(now):
            return False
        heard = desk.newest
        kept = await self._disk.find(live, now.at)
        if kept is None or kept.candle_at != await self._forecaster.newest(live):
            return False
        desk.recall(kept, self._now(), heard=heard)
        return True

    async def _tell(self, symbol: Symbol) -> float | None:
        """Also that the newest is not the newest any more."""
        desk = self._desks.of(symbol)
        if desk.entry is None:
            await self._disk.forget([symbol])
        if desk.live is None or desk.entry is None:
            return None
        if desk.unsaved:
            desk.unsaved = False
            await self._disk.keep(desk.entry.prediction)
        now = self._now()
        try:
            desk.extend(await self._predictions.publish(desk.answer(now)), now)
        except AppError as exc:
            log.warning("prediction not told", extra={"symbol": symbol, "reason": str(exc)})
            return now.tick + _TELL_AGAIN_S
        return None

    async def _told(self, desk: Desk) -> None:
        for _ in range(_TURNS):
            await self._telling.own_end(desk.symbol)
            if not desk.unsaved:
                break

    async def _refreshed(self, desk: Desk) -> Tier:
        """Wait until the entry is as new as it can be; says where it came from."""
        before = desk.entry
        if not (self._caching and desk.settled(self._now())):
            await self._computed(desk)
        if desk.recalled:
            desk.recalled = False
            return "disk"
        return "memory" if desk.entry is before else "miss"

    async def _computed(self, desk: Desk) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_S):
                for _ in range(_TURNS):
                    if desk.live is None or desk.rests(self._now().tick):
                        break
                    await self._computing.next_end(desk.symbol)
                    if desk.settled(self._now()):
                        break

    def _just_made(self, desk: Desk, ttl: timedelta) -> bool:
        now = self._now()
        made = desk.entry is not None and just_made(desk.entry.prediction, ttl, now.at)
        return made and desk.settled(now)

    def _order(self, desk: Desk, *, not_before: float = 0.0) -> None:
        if desk.live is not None and self._desks.covers(desk.symbol):
            at = max(not_before, desk.resting_until)
            self._computing.order(desk.symbol, not_before=at)

    def _now(self) -> Moment:
        return Moment(self._clock(), asyncio.get_running_loop().time())
