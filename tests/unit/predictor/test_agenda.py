import pytest

from services.predictor.domain.agenda import Agenda
from shared.contracts.symbols import Symbol

A, B, C = Symbol("A"), Symbol("B"), Symbol("C")


@pytest.fixture
def agenda() -> Agenda:
    return Agenda()


def test_symbols_come_in_the_order_in_which_they_became_due(agenda: Agenda) -> None:
    for symbol in (B, A, C):
        agenda.add(symbol)
    assert [agenda.take(0.0) for _ in range(4)] == [B, A, C, None]


def test_a_symbol_ordered_many_times_is_taken_once(agenda: Agenda) -> None:
    for _ in range(5):
        agenda.add(A)
    assert agenda.take(0.0) == A
    agenda.done(A)
    assert agenda.take(0.0) is None


def test_a_symbol_is_never_in_hand_twice(agenda: Agenda) -> None:
    agenda.add(A)
    agenda.take(0.0)
    agenda.add(A)
    assert agenda.take(0.0) is None


def test_news_during_the_work_makes_it_due_once_more(agenda: Agenda) -> None:
    agenda.add(A)
    agenda.take(0.0)
    agenda.add(A)
    agenda.done(A)
    assert agenda.take(0.0) == A


def test_a_symbol_is_not_given_before_its_time(agenda: Agenda) -> None:
    agenda.add(A, not_before=5.0)
    assert agenda.take(4.9) is None
    assert agenda.next_in(4.0) == 1.0
    assert agenda.take(5.0) == A


def test_the_earliest_time_counts(agenda: Agenda) -> None:
    agenda.add(A, not_before=5.0)
    agenda.add(A, not_before=2.0)
    agenda.add(A, not_before=9.0)
    assert agenda.take(2.0) == A
    agenda.done(A)
    assert agenda.take(9.0) is None


def test_who_is_waited_for_comes_first(agenda: Agenda) -> None:
    agenda.add(A)
    agenda.add(B, not_before=60.0)
    agenda.hurry(B)
    assert agenda.take(0.0) == B


def test_a_symbol_in_hand_needs_no_hurry(agenda: Agenda) -> None:
    agenda.add(A)
    agenda.take(0.0)
    agenda.hurry(A)
    agenda.done(A)
    assert agenda.take(0.0) is None


def test_a_discarded_symbol_is_not_taken(agenda: Agenda) -> None:
    agenda.add(A)
    agenda.add(B, not_before=1.0)
    agenda.discard(A)
    agenda.discard(B)
    assert agenda.take(2.0) is None


def test_with_nothing_due_there_is_nothing_to_wait_for(agenda: Agenda) -> None:
    assert agenda.next_in(0.0) is None
