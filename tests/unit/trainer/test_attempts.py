from dataclasses import replace

import pytest

from services.trainer.domain.attempts import MOST_KEPT, noted
from shared.contracts.errors import Fenced
from shared.contracts.symbols import Symbol
from shared.contracts.trading import Evolution, EvolvedParameters, SignalParameters
from tests.support.attempts import BETTER, attempt

SYMBOL = Symbol("BTC/USDT")


def note(
    stored: EvolvedParameters | None, made: Evolution, *, token: int, epoch: str = "one"
) -> EvolvedParameters:
    return noted(stored, made, symbol=SYMBOL, token=token, epoch=epoch)


def test_what_was_adopted_is_in_force() -> None:
    made = attempt("full-1")
    assert note(None, made, token=5) == EvolvedParameters(
        symbol=SYMBOL, parameters=BETTER, token=5, epoch="one", history=(made,)
    )


def test_what_was_not_adopted_is_remembered_and_changes_nothing() -> None:
    made = attempt("full-1", adopted=False)
    stored = note(None, made, token=5)
    assert stored.parameters == SignalParameters()
    assert stored.history == (made,)


def test_the_newest_attempts_are_remembered_newest_first() -> None:
    stored = None
    for number in range(1, MOST_KEPT + 3):
        stored = note(stored, attempt(f"full-{number}"), token=number)
    assert stored is not None
    runs = [known.run_id for known in stored.history]
    assert runs == [f"full-{number}" for number in range(MOST_KEPT + 2, 2, -1)]


def test_a_run_adopts_once_however_often_its_job_is_done() -> None:
    once = note(None, attempt("full-1"), token=5)
    further = replace(BETTER, take_profit_atr=4.0)
    assert note(once, attempt("full-1", after=further), token=6) == once


@pytest.mark.parametrize("token", [4, 5])
def test_an_older_holder_is_fenced(token: int) -> None:
    newer = note(None, attempt("full-2"), token=5)
    with pytest.raises(Fenced):
        note(newer, attempt("full-1"), token=token)


def test_tokens_of_another_epoch_say_nothing() -> None:
    stored = note(None, attempt("full-1"), token=5)
    assert note(stored, attempt("full-2"), token=1, epoch="two").token == 1
