from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.records import Score
from shared.trading.edge import proven_edge
from tests.support.models import made_up_score

probabilities = st.floats(0.0, 1.0)
areas = st.floats(0.0, 1.0)


@st.composite
def scores(draw: st.DrawFn) -> Score:
    low, area, high = sorted((draw(areas), draw(areas), draw(areas)))
    return replace(
        made_up_score(),
        roc_auc=area,
        roc_auc_interval=(low, high),
        roc_auc_null_high=draw(st.none() | areas),
        slope=draw(st.none() | st.floats(-5.0, 5.0)),
        slope_error=draw(st.none() | st.floats(0.01, 100.0)),
    )


PROVEN = replace(
    made_up_score(),
    roc_auc=0.66,
    roc_auc_interval=(0.64, 0.68),
    roc_auc_null_high=0.51,
    slope=1.0,
    slope_error=0.05,
)


@given(probabilities, scores())
def test_an_edge_is_never_more_than_what_the_forecast_says(p_up: float, score: Score) -> None:
    assert 0.0 <= proven_edge(p_up, score) <= abs(p_up - 0.5)


@given(probabilities, probabilities, scores())
def test_a_surer_forecast_never_has_less_edge(one: float, other: float, score: Score) -> None:
    less, more = sorted((one, other), key=lambda p_up: abs(p_up - 0.5))
    assert proven_edge(less, score) <= proven_edge(more, score) + 1e-15


@given(probabilities, scores())
def test_both_directions_are_alike(p_up: float, score: Score) -> None:
    mirrored = 1.0 - p_up
    assert proven_edge(p_up, score) == pytest.approx(proven_edge(mirrored, score), abs=1e-9)


@given(probabilities, st.floats(0.5, 1.0))
def test_nothing_is_proven_where_the_interval_reaches_what_chance_gets(
    p_up: float, chance: float
) -> None:
    reached = replace(PROVEN, roc_auc_interval=(chance, 1.0), roc_auc_null_high=chance)
    assert proven_edge(p_up, reached) == 0.0


@given(probabilities)
def test_nothing_is_proven_by_a_ranking_below_one_half(p_up: float) -> None:
    """Whatever the table of chance says of so short a window."""
    lucky = replace(PROVEN, roc_auc_interval=(0.49, 0.7), roc_auc_null_high=0.45)
    assert proven_edge(p_up, lucky) == 0.0


@pytest.mark.parametrize(
    "unknown",
    [
        {"roc_auc": None, "roc_auc_interval": None},
        {"roc_auc_null_high": None},
        {"slope": None},
        {"slope_error": None},
        {"slope": 1.0, "slope_error": 0.7},
        {"slope": -1.0, "slope_error": 0.1},
    ],
)
def test_what_is_not_known_proves_nothing(unknown: dict[str, float | None]) -> None:
    assert proven_edge(0.9, replace(PROVEN, **unknown)) == 0.0  # type: ignore[arg-type]


@given(probabilities, st.floats(0.51, 0.6), st.floats(0.51, 0.6))
def test_the_more_chance_gets_the_less_is_proven(p_up: float, one: float, other: float) -> None:
    less, more = sorted((one, other))
    edges = [proven_edge(p_up, replace(PROVEN, roc_auc_null_high=high)) for high in (less, more)]
    assert edges[1] <= edges[0]


def test_much_evidence_leaves_most_of_the_edge() -> None:
    assert 0.25 < proven_edge(0.9, PROVEN) < 0.4


def test_an_edge_that_is_known_for_sure_is_the_forecasts_own() -> None:
    sure = replace(PROVEN, roc_auc_interval=(0.66, 0.66), roc_auc_null_high=0.5, slope_error=0.0)
    assert proven_edge(0.7, sure) == pytest.approx(0.2)
