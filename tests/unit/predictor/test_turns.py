import asyncio

import pytest

from services.predictor.handlers.turns import Turns
from shared.contracts.symbols import Symbol
from shared.runtime.tasks import alongside

A, B = Symbol("A"), Symbol("B")


class Work:
    """Takes a second. `began` are the symbols and times of its turns."""

    def __init__(self, *, again_after: float | None = None) -> None:
        self.began: list[tuple[Symbol, float]] = []
        self._again_after = again_after

    async def turn(self, symbol: Symbol) -> float | None:
        now = asyncio.get_running_loop().time()
        self.began.append((symbol, now))
        await asyncio.sleep(1)
        return None if self._again_after is None else now + self._again_after


async def test_a_few_at_a_time() -> None:
    work = Work()
    turns = Turns(work.turn, at_once=2)
    for number in range(6):
        turns.order(Symbol(f"S{number}"))
    async with alongside(turns.run(), name="turns"):
        await asyncio.sleep(10)
    assert [at for _, at in work.began] == [0, 0, 1, 1, 2, 2]


async def test_an_order_wakes_who_waits_for_a_later_one() -> None:
    work = Work()
    turns = Turns(work.turn, at_once=1)
    turns.order(A, not_before=100.0)
    async with alongside(turns.run(), name="turns"):
        await asyncio.sleep(5)
        turns.order(B)
        await asyncio.sleep(200)
    assert work.began == [(B, 5.0), (A, 100.0)]


async def test_a_turn_may_ask_for_the_next_one() -> None:
    work = Work(again_after=10.0)
    turns = Turns(work.turn, at_once=4)
    turns.order(A)
    async with alongside(turns.run(), name="turns"):
        await asyncio.sleep(25)
    assert work.began == [(A, 0.0), (A, 10.0), (A, 20.0)]


async def test_who_asks_during_a_turn_waits_for_its_end_and_causes_no_other() -> None:
    work = Work()
    turns = Turns(work.turn, at_once=1)
    turns.order(A)
    async with alongside(turns.run(), name="turns"):
        await asyncio.sleep(0.5)
        await turns.next_end(A)
        assert asyncio.get_running_loop().time() == 1.0
        await asyncio.sleep(5)
    assert work.began == [(A, 0.0)]


async def test_who_is_in_no_hurry_comes_behind_all_that_are_due() -> None:
    work = Work()
    turns = Turns(work.turn, at_once=1)
    turns.order(A)
    turns.order(B)
    async with alongside(turns.run(), name="turns"), asyncio.TaskGroup() as group:
        group.create_task(turns.own_end(Symbol("PATIENT")))
        group.create_task(turns.next_end(Symbol("IMPATIENT")))
    assert [symbol for symbol, _ in work.began] == ["IMPATIENT", A, B, "PATIENT"]


async def test_a_cancelled_order_has_no_turn() -> None:
    work = Work()
    turns = Turns(work.turn, at_once=1)
    turns.order(A, not_before=1.0)
    turns.cancel(A)
    async with alongside(turns.run(), name="turns"):
        await asyncio.sleep(5)
    assert work.began == []


async def test_a_bug_in_a_turn_ends_them_all() -> None:
    async def bug(symbol: Symbol) -> float | None:
        raise ZeroDivisionError

    turns = Turns(bug, at_once=2)
    turns.order(A)
    with pytest.raises(ExceptionGroup):
        await turns.run()
