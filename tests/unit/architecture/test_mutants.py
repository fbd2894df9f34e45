"""The guards that `python -m tests.mutations` takes out are still where it takes them from."""

from pathlib import Path

import pytest

from tests.mutations.mutant import Mutant
from tests.mutations.table import MUTANTS

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_a_mutant_can_be_made_and_its_test_is_there(mutant: Mutant) -> None:
    assert mutant.fault(ROOT) is None


def test_no_guard_is_named_twice() -> None:
    guards = [mutant.guard for mutant in MUTANTS]
    assert len(set(guards)) == len(guards)
