import pytest

from services.trainer.adapters.parameters import FencedParameters
from shared.bus.kv import Entry
from shared.contracts import codec
from shared.contracts.errors import Fenced, Unavailable
from shared.contracts.symbols import Symbol
from shared.contracts.trading import EvolvedParameters, SignalParameters
from tests.support.attempts import BETTER, attempt
from tests.support.buckets import MemoryBucket

SYMBOL = Symbol("BTC/USDT")


class Unreliable(MemoryBucket):
    """Its next answers are lost; what was asked for has happened or not."""

    def __init__(self, *, happens: bool, times: int = 1) -> None:
        super().__init__()
        self._happens = happens
        self._left = times

    async def create(self, key: str, value: bytes) -> int:
        if not self._left:
            return await super().create(key, value)
        self._left -= 1
        if self._happens:
            await super().create(key, value)
        raise Unavailable("no answer")


class Contended(MemoryBucket):
    """Another worker writes between the first reading and the first writing."""

    def __init__(self, other: EvolvedParameters) -> None:
        super().__init__()
        self._other: EvolvedParameters | None = other

    async def get(self, key: str) -> Entry | None:
        entry = await super().get(key)
        if self._other is not None:
            other, self._other = self._other, None
            await super().create(key, codec.encode(other))
        return entry


async def test_a_symbol_follows_the_defaults_until_something_is_adopted() -> None:
    parameters = FencedParameters(MemoryBucket())
    assert await parameters.in_force(SYMBOL) == SignalParameters()
    await parameters.note(SYMBOL, attempt("full-1", adopted=False), token=1, epoch="one")
    assert await parameters.in_force(SYMBOL) == SignalParameters()
    await parameters.note(SYMBOL, attempt("full-2"), token=2, epoch="one")
    assert await parameters.in_force(SYMBOL) == BETTER


@pytest.mark.parametrize("happens", [True, False])
async def test_a_lost_answer_notes_an_attempt_once(happens: bool) -> None:
    parameters = FencedParameters(Unreliable(happens=happens))
    stored = await parameters.note(SYMBOL, attempt("full-1"), token=1, epoch="one")
    assert [known.run_id for known in stored.history] == ["full-1"]
    assert await parameters.in_force(SYMBOL) == BETTER


async def test_nothing_is_claimed_while_nothing_answers() -> None:
    parameters = FencedParameters(Unreliable(happens=False, times=99))
    with pytest.raises(Unavailable):
        await parameters.note(SYMBOL, attempt("full-1"), token=1, epoch="one")


async def test_who_comes_between_is_not_overwritten() -> None:
    other = EvolvedParameters(
        symbol=SYMBOL, parameters=BETTER, token=1, epoch="one", history=(attempt("full-1"),)
    )
    parameters = FencedParameters(Contended(other))
    stored = await parameters.note(SYMBOL, attempt("full-2"), token=2, epoch="one")
    assert [known.run_id for known in stored.history] == ["full-2", "full-1"]


async def test_a_newer_holder_that_comes_between_fences() -> None:
    other = EvolvedParameters(
        symbol=SYMBOL, parameters=BETTER, token=3, epoch="one", history=(attempt("full-3"),)
    )
    with pytest.raises(Fenced):
        await FencedParameters(Contended(other)).note(
            SYMBOL, attempt("full-2", adopted=False), token=2, epoch="one"
        )
