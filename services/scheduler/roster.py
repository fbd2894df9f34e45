"""Which symbols are trained and predicted, and keeping that up to date."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Protocol

from services.scheduler.domain.decisions import Decisions
from services.scheduler.domain.universe import Symbols, at_start, chosen, relisted
from services.scheduler.revision import Record, Revision, revise
from shared.contracts.errors import ChangedMeanwhile, Unavailable
from shared.contracts.records import Universe
from shared.contracts.requests import ChooseSymbolsRequest, UniverseRequest
from shared.runtime.backoff import backoff

log = logging.getLogger(__name__)


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
        universes: Record[Universe],
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
        known = self._decisions.universe

        def revised(stored: Universe | None) -> Universe | None:
            now = stored or known
            wanted = change(now)
            return None if wanted == now else wanted

        done: Revision[Universe] = await revise(self._universes, revised)
        if done.after is None:
            return done.before or known
        self._decisions.take_universe(done.after)
        _tell(done.before or known, done.after)
        with suppress(Unavailable):  # they come with the next tick
            await self._candles.hurry(done.after.revision)
        return done.after


async def in_force(
    universes: Record[Universe], named: Universe, listed: Symbols | None
) -> Universe:
    """The universe of a scheduler that starts, stored where everyone reads it. `named` is the one
    that its settings and provider make, and `listed` the list in the settings, if there is one.
    """
    done: Revision[Universe] = await revise(
        universes, lambda stored: at_start(stored, named, listed)
    )
    if done.after is not None:
        return done.after
    before = done.before
    assert before is not None
    if before.chosen_by == "people" and set(before.symbols) != set(named.symbols):
        log.warning("the symbols that people chose stand until the settings name others")
    return before


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
