from dataclasses import replace
from random import Random

import pytest

from services.scheduler.domain.drift import (
    FALSE_ALARMS,
    MIN_OUTCOMES,
    Evidence,
    discoveries,
    judged,
    outcome,
)
from shared.contracts.quality import (
    DriftMeasurement,
    FeatureDrift,
    Scorecard,
    Track,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode
from tests.support.drifting import model, score, track

AAPL, MSFT, IBM = Symbol("AAPL"), Symbol("MSFT"), Symbol("IBM")
UNIVERSE = tuple(Symbol(f"S{n}") for n in range(545))


def measurement(symbol: Symbol, p_value: float) -> DriftMeasurement:
    moved = FeatureDrift(feature="range", psi=0.5, psi_threshold=0.2, ks=0.4, p_value=p_value / 56)
    return DriftMeasurement(
        symbol=symbol,
        model_version="v1",
        reference_rows=6000,
        recent_rows=300,
        p_value=p_value,
        features=(moved,),
    )


def evidence(symbol: Symbol, p_value: float | None = None, *tracks: Track) -> Evidence:
    return Evidence(
        model=model(symbol),
        card=Scorecard(symbol=symbol, tracks=tracks),
        measurement=None if p_value is None else measurement(symbol, p_value),
        unmeasured="7 candles since its training" if p_value is None else "",
    )


def test_without_drift_one_check_in_ten_over_all_symbols_is_wrong_about_one() -> None:
    random = Random(1)
    checks = 2000
    wrong = sum(
        bool(discoveries({symbol: random.random() for symbol in UNIVERSE}, FALSE_ALARMS))
        for _ in range(checks)
    )
    assert wrong / checks == pytest.approx(FALSE_ALARMS, abs=0.02)


def test_it_is_the_procedure_of_benjamini_and_hochberg() -> None:
    # Their own example of 1995, table 1: four of fifteen, at 0.05.
    p_values = (0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
                0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0)  # fmt: skip
    named = dict(zip(UNIVERSE, p_values, strict=False))
    assert discoveries(named, 0.05) == set(UNIVERSE[:4])
    assert discoveries({}, 0.05) == frozenset()


def test_many_that_moved_a_little_are_found_together() -> None:
    together = {symbol: evidence(symbol, 0.02) for symbol in UNIVERSE[:50]}
    assert all(one.drifted for one in judged(together))
    alone = {symbol: evidence(symbol, 0.02 if n == 0 else 0.9) for n, symbol in enumerate(UNIVERSE)}
    assert not any(one.drifted for one in judged(alone))


def test_a_symbol_that_moved_is_found_and_said_to_have_and_in_what() -> None:
    found = judged({AAPL: evidence(AAPL, 0.9), MSFT: evidence(MSFT, 1e-6)})
    assert [(one.symbol, one.drifted) for one in found] == [(MSFT, True), (AAPL, False)]
    assert found[0].note == "the market has changed, most of all range"
    assert (found[0].features[0].feature, found[1].features) == ("range", ())
    assert found[1].note == "no drift; too few predictions have been scored"


def test_forecasts_that_fare_worse_than_was_promised_are_drift_too() -> None:
    (found,) = judged({AAPL: evidence(AAPL, None, track(log_loss=0.74))})
    assert found.drifted
    assert found.feature_p_value is None
    assert found.outcome_p_value is not None
    assert found.outcome_p_value < 1e-6
    assert found.note == (
        "forecasts with horizon 1 do worse than was promised: "
        "a log loss of 0.7400 instead of 0.6800"
    )


def test_forecasts_that_fare_better_are_no_drift() -> None:
    seen = outcome(model(), Scorecard(symbol=AAPL, tracks=(track(log_loss=0.6),)))
    assert seen is not None
    assert seen.p_value > 0.99


def test_where_nothing_is_known_it_is_said_what_is_missing() -> None:
    (found,) = judged({AAPL: evidence(AAPL)})
    assert not found.drifted
    assert found.note == "7 candles since its training; too few predictions have been scored"


def test_losses_that_overlap_weigh_as_much_as_those_that_do_not() -> None:
    promised, log_loss = score(7, rows=14_000), 0.69
    long = outcome(
        model(AAPL, promised),
        Scorecard(symbol=AAPL, tracks=(track(7, rows=700, log_loss=log_loss),)),
    )
    short = outcome(
        model(AAPL, score(1, rows=2000)),
        Scorecard(symbol=AAPL, tracks=(track(1, rows=100, log_loss=log_loss),)),
    )
    assert long is not None
    assert short is not None
    assert long.p_value == pytest.approx(short.p_value, rel=0.02)


def test_too_few_outcomes_tell_nothing() -> None:
    few = track(3, rows=3 * MIN_OUTCOMES - 1, log_loss=2.0)
    assert outcome(model(AAPL, score(3)), Scorecard(symbol=AAPL, tracks=(few,))) is None


def test_the_updates_of_a_full_model_are_scored_together_and_nothing_else() -> None:
    live = replace(model(AAPL, version="v3"), base_version="v1", mode=Mode.INCREMENTAL)
    tracks = [track(version=f"v{n}", rows=15, log_loss=0.68 + n / 100) for n in range(4)]
    seen = outcome(live, Scorecard(symbol=AAPL, tracks=tuple(tracks)))
    assert seen is not None
    assert seen.log_loss == pytest.approx(0.70)


def test_the_worst_horizon_counts_for_as_many_as_there_are() -> None:
    scores = score(1), score(3)
    worse = outcome(
        model(AAPL, *scores), Scorecard(symbol=AAPL, tracks=(track(1, log_loss=0.69), track(3)))
    )
    alone = outcome(
        model(AAPL, scores[0]), Scorecard(symbol=AAPL, tracks=(track(1, log_loss=0.69),))
    )
    assert worse is not None
    assert alone is not None
    assert worse.horizon == 1
    assert worse.p_value == pytest.approx(2 * alone.p_value)
