import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from services.scheduler.domain.configuration import beginning
from services.scheduler.domain.decisions import Decisions
from services.scheduler.roster import Roster, in_force
from shared.contracts.configuration import Configuration
from shared.contracts.errors import ChangedMeanwhile, Unavailable, UnknownSymbol
from shared.contracts.records import Universe
from shared.contracts.requests import ChooseSymbolsRequest, UniverseRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.runtime.tasks import alongside
from tests.support.coordination import BEGIN
from tests.support.decisions import MemoryRecord

A, B, C = map(Symbol, "ABC")
LISTED = (A, B)
UNIVERSE = Universe(symbols=LISTED, timeframe=Timeframe.D1, horizons=(1, 3), revision=1)


class House:
    """A scheduler whose settings list two symbols; `hurried` are revisions with new candles."""

    def __init__(self) -> None:
        self.stored: MemoryRecord[Universe] = MemoryRecord()
        self.stored.put(UNIVERSE)
        self.decisions = Decisions(universe=UNIVERSE, configured=beginning(Configuration(), BEGIN))
        self.hurried: asyncio.Queue[int] = asyncio.Queue()
        self.lists: asyncio.Queue[tuple[Symbol, ...]] = asyncio.Queue()
        self.answers = True
        self.roster = Roster(
            decisions=self.decisions, universes=self.stored, candles=self, listed=LISTED
        )

    async def hurry(self, revision: int) -> None:
        if not self.answers:
            raise Unavailable("NATS does not answer")
        self.hurried.put_nowait(revision)

    async def changes(self) -> AsyncGenerator[tuple[Symbol, ...]]:
        while True:
            yield await self.lists.get()


async def test_a_choice_is_in_force_at_once_and_fetches_candles() -> None:
    house = House()
    universe = await house.roster.choose(ChooseSymbolsRequest(add=(C,), revision=1))
    assert (universe.symbols, universe.revision) == ((A, B, C), 2)
    assert house.stored.newest == house.decisions.universe == universe
    assert house.hurried.get_nowait() == 2
    assert await house.roster.universe(UniverseRequest()) == universe


async def test_a_choice_stands_although_its_candles_have_to_wait() -> None:
    house = House()
    house.answers = False
    await house.roster.choose(ChooseSymbolsRequest(symbols=(C,)))
    assert house.stored.newest.symbols == (C,)


async def test_a_choice_for_another_revision_is_refused_and_changes_nothing() -> None:
    house = House()
    with pytest.raises(ChangedMeanwhile, match="revision 1, not 7"):
        await house.roster.choose(ChooseSymbolsRequest(symbols=(C,), revision=7))
    assert house.stored.newest == UNIVERSE


async def test_two_additions_at_once_are_both_kept() -> None:
    house = House()
    house.stored.meanwhile = lambda: house.stored.put(
        replace(UNIVERSE, symbols=(A, B, Symbol("D")), revision=2)
    )
    universe = await house.roster.choose(ChooseSymbolsRequest(add=(C,)))
    assert universe.symbols == (A, B, Symbol("D"), C)


async def test_a_choice_that_cannot_be_changes_nothing() -> None:
    house = House()
    with pytest.raises(UnknownSymbol):
        await house.roster.choose(ChooseSymbolsRequest(remove=(C,)))
    assert house.stored.revisions == [UNIVERSE]


async def test_a_list_that_changes_wins_over_what_people_chose() -> None:
    house = House()
    await house.roster.choose(ChooseSymbolsRequest(symbols=(C,)))
    async with alongside(house.roster.follow(house), name="follow"):
        house.lists.put_nowait((B,))
        while house.stored.newest.symbols != (B,):
            await house.hurried.get()
    assert house.stored.newest.chosen_by == "settings"


async def test_a_choice_after_that_stands_against_the_new_list() -> None:
    house = House()
    async with alongside(house.roster.follow(house), name="follow"):
        house.lists.put_nowait((B,))
        await house.hurried.get()
    await house.roster.choose(ChooseSymbolsRequest(symbols=(C,)))
    named = replace(UNIVERSE, symbols=(B,))
    assert (await in_force(house.stored, named, (B,))).symbols == (C,)
    assert (await in_force(house.stored, replace(named, symbols=LISTED), LISTED)).symbols == LISTED


async def test_the_first_scheduler_stores_the_universe_and_the_second_takes_it() -> None:
    stored: MemoryRecord[Universe] = MemoryRecord()
    first = await in_force(stored, replace(UNIVERSE, revision=0), LISTED)
    assert first == UNIVERSE
    assert await in_force(stored, replace(UNIVERSE, revision=0), LISTED) is stored.newest
    assert len(stored.revisions) == 1
