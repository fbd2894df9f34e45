"""Decides, at each tick, which predictions become signals.

A tick is taken by one predictor, but it may come again, to this one or another, and a predictor
that was slow may still be at work on the one before. So nothing here relies on being alone: a
signal is opened by a compare-and-set, and told, like a rejection, unless it was told already. Who
dies in between leaves a tick that another takes, and finds what is left to do.
"""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final, Protocol

from services.predictor.domain.openings import Openings
from shared.contracts.configuration import Configuration
from shared.contracts.errors import AppError, Conflict
from shared.contracts.events import Event, SignalOpened, SignalRejected
from shared.contracts.symbols import Symbol
from shared.contracts.trading import EvolvedParameters, Rejection, Signal, SignalParameters
from shared.runtime.clock import Clock
from shared.trading.signals import Outlook, decide

log = logging.getLogger(__name__)

_AT_ONCE: Final = 8
#: Each conflict is a signal that another predictor opened, or one that ended.
_TRIES: Final = 10
#: Shorter than events are kept, or what was told long ago would be told again.
_NEWS_FOR: Final = timedelta(days=6)
_DEFAULT: Final = SignalParameters()


class Market(Protocol):
    def covered(self) -> tuple[Symbol, ...]:
        """The symbols of the universe."""

    async def outlook(self, symbol: Symbol) -> Outlook:
        """What is known of it, as new as it can be."""


class Signals(Protocol):
    """Each verb may raise Unavailable."""

    async def now(self) -> Openings:
        """What is open."""

    async def open(self, signal: Signal, openings: Openings) -> Openings:
        """Open one more; what is open then.

        Raises:
            Conflict: `openings` is not what is open any more.
        """

    async def ended(self, symbol: Symbol) -> Signal | None:
        """The last signal of the symbol that has ended."""


class Announcements(Protocol):
    def knows(self, fact: Event) -> bool:
        """Whether it was told for certain; False where that would have to be looked up."""

    async def tell(self, fact: Event) -> None:
        """Tell it, unless it was told already. May raise Unavailable."""


class Trader:
    """Until it hears of a configuration or of parameters, the defaults hold."""

    def __init__(
        self, market: Market, signals: Signals, announcements: Announcements, *, clock: Clock
    ) -> None:
        self._market = market
        self._signals = signals
        self._announcements = announcements
        self._clock = clock
        self._rules = Configuration()
        self._parameters: dict[Symbol, SignalParameters] = {}
        self._openings = Openings()
        #: As last read. Another predictor may have opened one since, and ended it.
        self._ended: dict[Symbol, Signal | None] = {}
        self._opening = asyncio.Lock()

    def on_configuration(self, configuration: Configuration) -> None:
        self._rules = configuration

    def on_parameters(self, evolved: EvolvedParameters) -> None:
        self._parameters[evolved.symbol] = evolved.parameters

    def on_parameters_removed(self, symbol: Symbol) -> None:
        self._parameters.pop(symbol, None)

    async def on_tick(self) -> None:
        """Decide on every symbol once.

        Raises:
            AppError: not every decision could be made, or told; to be done again.
        """
        self._openings = await self._signals.now()
        for signal in self._openings.signals.values():
            await self._tell_of(signal)
        symbols = iter(self._market.covered())
        failures: list[AppError] = []
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(self._decide_on(symbols, failures))
        if failures:
            raise failures[0]

    async def _tell_of(self, signal: Signal) -> None:
        """Whoever opened it may have died before it could say so."""
        if self._clock() - signal.opened_at < _NEWS_FOR:
            await self._announcements.tell(_opened(signal))

    async def _decide_on(self, symbols: Iterator[Symbol], failures: list[AppError]) -> None:
        """Take one symbol after the other, as long as it works: where NATS is away, it is away for
        all of them.
        """
        try:
            for symbol in symbols:
                outlook = await self._market.outlook(symbol)
                if not self._is_told(self._decide(outlook)):
                    await self._settle(outlook)
                await asyncio.sleep(0)  # where nothing was new, nothing has waited
        except AppError as exc:
            failures.append(exc)

    def _is_told(self, decision: Signal | Rejection) -> bool:
        """Whether it is what was decided before. What it rests on may be out of date, but no more
        than that it refuses for one reason what should be refused for another.
        """
        return isinstance(decision, Rejection) and self._announcements.knows(_rejected(decision))

    async def _settle(self, outlook: Outlook) -> None:
        ended = self._ended[outlook.symbol] = await self._signals.ended(outlook.symbol)
        if ended is not None and outlook.symbol not in self._openings.signals:
            await self._tell_of(replace(ended, outcome=None))  # as it was when it was opened
        decision = self._decide(outlook)
        if isinstance(decision, Signal):
            await self._open(outlook)
        else:
            await self._announcements.tell(_rejected(decision))

    async def _open(self, outlook: Outlook) -> None:
        """One at a time, since each counts for the next."""
        async with self._opening:
            for _ in range(_TRIES):
                decision = self._decide(outlook)
                if isinstance(decision, Rejection):
                    return await self._announcements.tell(_rejected(decision))
                try:
                    self._openings = await self._signals.open(decision, self._openings)
                except Conflict:
                    # What has ended is read behind what is open: it leaves one for the other.
                    self._openings = await self._signals.now()
                    self._ended[outlook.symbol] = await self._signals.ended(outlook.symbol)
                else:
                    log.info("signal opened", extra={"signal": decision.id})
                    return await self._announcements.tell(_opened(decision))
        raise Conflict("other predictors keep opening signals, or ending them")

    def _decide(self, outlook: Outlook) -> Signal | Rejection:
        return decide(
            outlook,
            self._openings.standing(outlook.symbol, self._ended.get(outlook.symbol)),
            self._parameters.get(outlook.symbol, _DEFAULT),
            self._rules,
            self._clock(),
        )


def _opened(signal: Signal) -> SignalOpened:
    return SignalOpened(
        id=f"signal.opened:{signal.id}", at=signal.opened_at, symbol=signal.symbol, signal=signal
    )


def _rejected(rejection: Rejection) -> SignalRejected:
    return SignalRejected(
        id=f"signal.rejected:{rejection.id}",
        at=rejection.at,
        symbol=rejection.symbol,
        rejection=rejection,
    )
