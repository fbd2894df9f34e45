"""Who decides which symbols there are: settings, people, or the provider."""

from dataclasses import replace

import pytest

from services.scheduler.domain.universe import at_start, chosen, relisted
from shared.contracts.errors import InvalidSetting, UnknownSymbol
from shared.contracts.records import Universe
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe

A, B, C = map(Symbol, "ABC")
PROVIDED = Universe(
    symbols=(A, B, C), timeframe=Timeframe.D1, horizons=(1, 3), chosen_by="provider"
)


def started(stored: Universe | None, listed: tuple[Symbol, ...] | None) -> Universe:
    """The universe of a scheduler that starts with this list in its settings, or none."""
    named = PROVIDED if listed is None else replace(PROVIDED, symbols=listed, chosen_by="settings")
    return at_start(stored, named, listed)


def test_without_a_list_it_is_what_the_provider_offers() -> None:
    assert started(None, None) == replace(PROVIDED, revision=1)


def test_a_list_in_the_settings_wins_over_the_provider() -> None:
    universe = started(started(None, None), (A,))
    assert (universe.symbols, universe.chosen_by, universe.revision) == ((A,), "settings", 2)


def test_a_restart_changes_nothing() -> None:
    for listed in (None, (A, B)):
        universe = started(None, listed)
        assert started(universe, listed) is universe


@pytest.mark.parametrize("listed", [None, (A, B)])
def test_what_people_chose_stands_over_restarts(listed: tuple[Symbol, ...] | None) -> None:
    universe = chosen(started(None, listed), listed, symbols=[C])
    assert universe.chosen_by == "people"
    assert started(universe, listed) is universe


@pytest.mark.parametrize(
    ("before", "after"), [((A, B), (B, C)), (None, (B, C)), ((A, B), (B, A, C))]
)
def test_a_list_that_changes_counts_again(
    before: tuple[Symbol, ...] | None, after: tuple[Symbol, ...]
) -> None:
    universe = chosen(started(None, before), before, symbols=[A])
    assert started(universe, after).symbols == after
    assert relisted(universe, after).symbols == after


def test_a_list_that_is_taken_away_gives_way_to_the_provider() -> None:
    universe = chosen(started(None, (A,)), (A,), symbols=[B])
    assert started(universe, None).symbols == PROVIDED.symbols


def test_the_timeframe_and_the_horizons_are_always_those_of_the_settings() -> None:
    universe = chosen(started(None, None), None, symbols=[A])
    hourly = replace(PROVIDED, timeframe=Timeframe.H1, horizons=(7,))
    moved = at_start(universe, hourly, None)
    assert (moved.symbols, moved.timeframe, moved.horizons) == ((A,), Timeframe.H1, (7,))


def test_some_can_be_added_and_removed_in_order_and_without_repeats() -> None:
    universe = started(None, (A, B))
    assert chosen(universe, None, add=[C, A]).symbols == (A, B, C)
    assert chosen(universe, None, remove=[A]).symbols == (B,)
    assert chosen(universe, None, symbols=[C, C, A]).symbols == (C, A)


def test_each_change_is_a_revision_and_no_change_is_none() -> None:
    universe = started(None, (A, B))
    assert chosen(universe, None, add=[C]).revision == universe.revision + 1
    assert relisted(universe, (A, B)) is universe


def test_what_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(UnknownSymbol, match="C"):
        chosen(started(None, (A,)), None, remove=[C])


def test_somebody_must_be_left() -> None:
    with pytest.raises(InvalidSetting, match="at least one"):
        chosen(started(None, (A,)), None, remove=[A])
    with pytest.raises(InvalidSetting, match="at least one"):
        chosen(started(None, (A,)), None, symbols=[])
