"""Which symbols are trained and predicted, and keeping that up to date."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Protocol

from services.scheduler.domain.decisions import Decisions
from services.scheduler.domain.universe import Symbols, at_start, chosen, relisted
from shared.contracts.errors import ChangedMeanwhile, Conflict, Unavailable
from shared.contracts.records import Universe
from shared.contracts.requests import ChooseSymbolsRequest, UniverseRequest
from shared.runtime.backoff import backoff

log = logging.getLogger(__name__)


class Stored(Protocol):
    @property
    def record(self) -> Universe: ...

    @property
    def place(self) -> int: ...


class Universes(Protocol):
    """The stored universe. Every verb may raise Unavailable."""

    async def read(self) -> Stored | None: ...

    async def replace(self, record: Universe, place: int) -> None:
        """Raises Conflict: someone else wrote in between."""


class Candles(Protocol):
    async def hurry(self, revision: int) -> None:
        """Have candles fetched at once for this revision. May raise Unavailable."""


class Lists(Protocol):
    def changes(self) -> AsyncGenerator[Symbols]:
        """What the settings list, each time that it changes, for ever."""


class Roster:
    """Only schedulers write the universe, each change by compare-and-set; everyone follows it.

    A symbol that is removed is trained and served no more. Its candles and models stay, so that it
    is back at once when it is added again.
    """

    def __init__(
        self,
        *,
        decisions: Decisions,
        universes: Universes,
        candles: Candles,
        listed: Symbols | None,
    ) -> None:
        self._decisions = decisions
        self._universes = universes
        self._candles = candles
        self._listed = listed

    async def universe(self, asked: UniverseRequest) -> Universe:
        return self._decisions.universe

    async def choose(self, asked: ChooseSymbolsRequest) -> Universe:
        """The universe as it is after the choice.

        Raises:
            UnknownSymbol: one is to be removed that is not there.
            InvalidSetting: none would be left.
            ChangedMeanwhile: `revision` is no longer the one in force.
        """

        def choice(now: Universe) -> Universe:
            if asked.revision not in (None, now.revision):
                raise ChangedMeanwhile(
                    f"the symbols are at revision {now.revision}, not {asked.revision}: "
                    f"read them again and repeat the change"
                )
            return chosen(
                now, self._listed, symbols=asked.symbols, add=asked.add, remove=asked.remove
            )

        return await self._change(choice)

    async def follow(self, lists: Lists) -> None:
        """Take over each new list of the settings, without end."""
        async with aclosing(lists.changes()) as changes:
            async for listed in changes:
                self._listed = listed
                await self._take_over(listed)

    async def _take_over(self, listed: Symbols) -> None:
        for delay in backoff(0.5, most=5):
            try:
                await self._change(lambda now: relisted(now, listed))
            except Unavailable as exc:
                log.warning("the symbols are not taken over yet", extra={"reason": str(exc)})
                await asyncio.sleep(delay)
            else:
                return

    async def _change(self, change: Callable[[Universe], Universe]) -> Universe:
        while True:
            stored = await self._universes.read()
            now = stored.record if stored else self._decisions.universe
            wanted = change(now)
            if wanted == now:
                return now
            with suppress(Conflict):
                await self._universes.replace(wanted, stored.place if stored else 0)
                self._decisions.take_universe(wanted)
                _tell(now, wanted)
                with suppress(Unavailable):  # they come with the next tick
                    await self._candles.hurry(wanted.revision)
                return wanted


async def in_force(universes: Universes, named: Universe, listed: Symbols | None) -> Universe:
    """The universe of a scheduler that starts, stored where everyone reads it. `named` is the one
    that its settings and provider make, and `listed` the list in the settings, if there is one.
    """
    while True:
        stored = await universes.read()
        universe = at_start(stored.record if stored else None, named, listed)
        if stored is not None and universe == stored.record:
            if universe.chosen_by == "people" and set(universe.symbols) != set(named.symbols):
                log.warning("the symbols that people chose stand until the settings name others")
            return universe
        with suppress(Conflict):
            await universes.replace(universe, stored.place if stored else 0)
            return universe


def _tell(before: Universe, after: Universe) -> None:
    was, is_now = set(before.symbols), set(after.symbols)
    log.info(
        "the universe changed",
        extra={
            "by": after.chosen_by,
            "symbols": len(after.symbols),
            "added": sorted(is_now - was)[:10],
            "removed": sorted(was - is_now)[:10],
        },
    )
