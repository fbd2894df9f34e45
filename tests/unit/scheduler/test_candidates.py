from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.domain.candidates import Knowledge, Policy, candidates, plan
from shared.contracts.errors import UnknownSymbol
from shared.contracts.records import ModelRecord, Universe
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Timeframe
from tests.support.coordination import BEGIN, model_record, symbols

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POLICY = Policy(per_cycle=50, max_age=7 * DAY, cooldown=6 * HOUR)
MISSING, LACKING, OLD, FRESH = symbols(4)


def knowledge(
    *,
    count: int = 4,
    ages: Mapping[Symbol, timedelta] | None = None,
    lacking: Mapping[Symbol, timedelta] | None = None,
    attempts: Mapping[Symbol, datetime] | None = None,
    watched: tuple[Symbol, ...] = (),
) -> Knowledge:
    """A universe whose models have these ages; those of `lacking` miss a horizon."""
    models = {s: model(s, age, (1, 3)) for s, age in (ages or {}).items()}
    models |= {s: model(s, age, (1,)) for s, age in (lacking or {}).items()}
    universe = Universe(symbols=symbols(count), timeframe=Timeframe.D1, horizons=(1, 3))
    return Knowledge(universe=universe, models=models, attempts=attempts or {}, watched=watched)


def model(symbol: Symbol, age: timedelta, horizons: tuple[int, ...]) -> ModelRecord:
    return model_record(symbol, created_at=BEGIN - age, horizons=horizons)


def test_no_model_comes_before_a_missing_horizon_and_that_before_age() -> None:
    known = knowledge(ages={OLD: 30 * DAY, FRESH: DAY}, lacking={LACKING: DAY})
    assert candidates(known, POLICY, BEGIN) == [MISSING, LACKING, OLD]


def test_the_oldest_model_comes_first() -> None:
    first, second, third, _ = symbols(4)
    known = knowledge(ages={first: 8 * DAY, second: 30 * DAY, third: 9 * DAY, FRESH: DAY})
    assert candidates(known, POLICY, BEGIN) == [second, third, first]


def test_the_oldest_comes_first_among_those_that_lack_a_horizon_too() -> None:
    first, second, *_ = symbols(4)
    known = knowledge(count=2, lacking={first: DAY, second: 2 * DAY})
    assert candidates(known, POLICY, BEGIN) == [second, first]


def test_among_equals_the_watched_come_first() -> None:
    known = knowledge(watched=(FRESH,))
    assert candidates(known, POLICY, BEGIN)[0] == FRESH


def test_a_model_of_exactly_the_maximum_age_is_still_good() -> None:
    known = knowledge(count=1, ages={MISSING: POLICY.max_age})
    assert candidates(known, POLICY, BEGIN) == []
    assert candidates(known, POLICY, BEGIN + timedelta(seconds=1)) == [MISSING]


def test_updates_do_not_make_a_model_younger() -> None:
    known = knowledge(count=2, ages={MISSING: DAY, LACKING: DAY})
    updated = replace(known.models[MISSING], mode=Mode.INCREMENTAL, base_at=BEGIN - 8 * DAY)
    known = replace(known, models={**known.models, MISSING: updated})
    assert candidates(known, POLICY, BEGIN) == [MISSING]


def test_a_symbol_is_left_in_peace_until_its_cooldown_is_over() -> None:
    known = knowledge(count=1, attempts={MISSING: BEGIN})
    assert candidates(known, POLICY, BEGIN + 6 * HOUR - timedelta(seconds=1)) == []
    assert candidates(known, POLICY, BEGIN + 6 * HOUR) == [MISSING]


@st.composite
def anything_known(draw: st.DrawFn) -> tuple[Knowledge, Policy]:
    count = draw(st.integers(1, 60))
    ages = st.integers(0, 60).map(lambda days: timedelta(days=days))
    some = st.dictionaries(st.sampled_from(symbols(count)), ages)
    attempts = draw(st.dictionaries(st.sampled_from(symbols(count)), st.integers(0, 48)))
    known = knowledge(
        count=count,
        ages=draw(some),
        lacking=draw(some),
        attempts={symbol: BEGIN - hours * HOUR for symbol, hours in attempts.items()},
    )
    return known, Policy(
        per_cycle=draw(st.integers(1, 60)),
        max_age=7 * DAY,
        cooldown=draw(st.integers(0, 48)) * HOUR,
    )


@given(anything_known())
def test_a_cycle_never_takes_more_than_its_share_nor_one_twice(
    given_: tuple[Knowledge, Policy],
) -> None:
    known, policy = given_
    taken = candidates(known, policy, BEGIN)
    assert len(taken) <= policy.per_cycle
    assert len(set(taken)) == len(taken)


@given(anything_known())
def test_a_cycle_never_takes_a_symbol_in_its_cooldown(given_: tuple[Knowledge, Policy]) -> None:
    known, policy = given_
    for symbol in candidates(known, policy, BEGIN):
        assert BEGIN - known.attempts.get(symbol, BEGIN - 365 * DAY) >= policy.cooldown


@given(anything_known())
def test_a_cycle_leaves_out_nobody_who_is_as_urgent_while_it_has_room(
    given_: tuple[Knowledge, Policy],
) -> None:
    known, policy = given_
    taken = candidates(known, policy, BEGIN)
    everyone = candidates(
        known,
        Policy(per_cycle=1000, max_age=policy.max_age, cooldown=policy.cooldown),
        BEGIN,
    )
    assert taken == everyone[: policy.per_cycle]


@pytest.mark.parametrize("succeeding", [True, False])
def test_545_symbols_without_a_model_are_covered_in_11_cycles(succeeding: bool) -> None:
    models: dict[Symbol, ModelRecord] = {}
    attempts: dict[Symbol, datetime] = {}
    universe = Universe(symbols=symbols(545), timeframe=Timeframe.D1, horizons=(1, 3))
    known = Knowledge(universe=universe, models=models, attempts=attempts)
    cycles = 0
    while taken := candidates(known, POLICY, now := BEGIN + cycles * timedelta(minutes=15)):
        cycles += 1
        attempts |= dict.fromkeys(taken, now)
        if succeeding:
            models |= {s: model_record(s, created_at=now) for s in taken}
    assert cycles == 11
    assert set(attempts) == set(universe.symbols)


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.QUICK])
def test_a_full_or_quick_run_takes_the_whole_universe_in_its_order(mode: Mode) -> None:
    jobs = plan(mode, None, knowledge(ages={FRESH: DAY}), POLICY, BEGIN)
    assert [job.symbol for job in jobs] == list(symbols(4))
    assert {job.mode for job in jobs} == {mode}


def test_an_incremental_run_takes_what_has_a_model_to_start_from() -> None:
    jobs = plan(Mode.INCREMENTAL, None, knowledge(ages={FRESH: DAY}), POLICY, BEGIN)
    assert [(job.symbol, job.mode) for job in jobs] == [(FRESH, Mode.INCREMENTAL)]


def test_a_named_symbol_without_a_model_is_trained_in_full_instead_of_updated() -> None:
    known = knowledge(ages={FRESH: DAY})
    jobs = plan(Mode.INCREMENTAL, [MISSING, FRESH], known, POLICY, BEGIN)
    assert [job.mode for job in jobs] == [Mode.FULL, Mode.INCREMENTAL]


def test_a_cycle_trains_in_full_what_is_due_and_updates_what_was_named_besides() -> None:
    known = knowledge(ages={OLD: 30 * DAY, FRESH: DAY})
    jobs = plan(Mode.CYCLE, [MISSING, OLD, FRESH], known, POLICY, BEGIN)
    assert [job.mode for job in jobs] == [Mode.FULL, Mode.FULL, Mode.INCREMENTAL]


def test_named_symbols_are_taken_in_their_order_once_and_even_in_their_cooldown() -> None:
    known = knowledge(attempts={OLD: BEGIN})
    jobs = plan(Mode.FULL, [OLD, MISSING, OLD], known, POLICY, BEGIN)
    assert [job.symbol for job in jobs] == [OLD, MISSING]


def test_a_named_symbol_outside_the_universe_is_refused_by_name() -> None:
    with pytest.raises(UnknownSymbol, match="DOGE/USDT"):
        plan(Mode.FULL, [MISSING, Symbol("DOGE/USDT")], knowledge(), POLICY, BEGIN)


def test_no_named_symbol_is_not_the_same_as_none_named() -> None:
    assert plan(Mode.FULL, [], knowledge(), POLICY, BEGIN) == []


def test_a_model_that_has_fallen_behind_is_due_for_a_full_training() -> None:
    known = knowledge(count=4, ages={MISSING: DAY, LACKING: DAY, OLD: DAY, FRESH: DAY})
    behind = replace(known.models[OLD], needs_full=True)
    known = replace(known, models={**known.models, OLD: behind})
    assert candidates(known, POLICY, BEGIN) == [OLD]
    for mode in (Mode.CYCLE, Mode.INCREMENTAL):
        (job,) = plan(mode, [OLD], known, POLICY, BEGIN)
        assert job.mode is Mode.FULL
