import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.contracts.configuration import Configuration
from shared.contracts.trading import Side, SignalParameters
from shared.trading.edge import proven_edge
from shared.trading.levels import levels
from shared.trading.leverage import leverage, most_leverage
from tests.support.deciding import score

RULES = Configuration()
PARAMETERS = SignalParameters()
#: As little as an exchange leaves before it takes a position over, as part of the position.
MAINTENANCE = 0.005

edges = st.floats(-0.1, 0.5)
ranges = st.floats(0.001, 60.0)
horizons = st.integers(1, 60)


@st.composite
def parameter_sets(draw: st.DrawFn) -> SignalParameters:
    multiple = st.floats(0.25, 8.0)
    return SignalParameters(take_profit_atr=draw(multiple), stop_loss_atr=draw(multiple))


@st.composite
def rule_sets(draw: st.DrawFn) -> Configuration:
    return Configuration(
        max_leverage=draw(st.floats(1.0, 20.0)),
        fee_pct=draw(st.floats(0.0, 1.0)),
        slippage_pct=draw(st.floats(0.0, 1.0)),
        min_net_profit_pct=draw(st.floats(0.0, 5.0)),
    )


@given(edges, ranges, parameter_sets(), horizons, rule_sets())
def test_it_is_from_one_to_the_allowed_maximum(
    edge: float, atr_pct: float, parameters: SignalParameters, horizon: int, rules: Configuration
) -> None:
    assert 1.0 <= leverage(edge, atr_pct, parameters, horizon, rules) <= rules.max_leverage


@given(edges, edges, ranges, parameter_sets(), horizons, rule_sets())
def test_more_edge_never_means_less(
    one: float,
    other: float,
    atr_pct: float,
    parameters: SignalParameters,
    horizon: int,
    rules: Configuration,
) -> None:
    less, more = sorted((one, other))
    assert leverage(less, atr_pct, parameters, horizon, rules) <= leverage(
        more, atr_pct, parameters, horizon, rules
    )


@given(st.floats(0.5, 1.0), st.floats(0.5, 1.0), ranges, parameter_sets(), horizons)
def test_it_is_monotone_in_the_confidence(
    one: float, other: float, atr_pct: float, parameters: SignalParameters, horizon: int
) -> None:
    less, more = (
        leverage(proven_edge(p_up, score(7)), atr_pct, parameters, horizon, RULES)
        for p_up in sorted((one, other))
    )
    assert less <= more


@given(edges, ranges, ranges, parameter_sets(), horizons, rule_sets())
def test_it_is_antitone_in_the_average_true_range(
    edge: float,
    one: float,
    other: float,
    parameters: SignalParameters,
    horizon: int,
    rules: Configuration,
) -> None:
    calm, wild = sorted((one, other))
    assert leverage(edge, wild, parameters, horizon, rules) <= leverage(
        edge, calm, parameters, horizon, rules
    )


@given(st.sampled_from(Side), edges, ranges, parameter_sets(), horizons, rule_sets())
def test_a_position_is_stopped_before_it_is_liquidated(
    side: Side,
    edge: float,
    atr_pct: float,
    parameters: SignalParameters,
    horizon: int,
    rules: Configuration,
) -> None:
    assume(most_leverage(atr_pct, parameters, rules) >= 1.0)  # or the filter turns it away
    margin = 1.0 / leverage(edge, atr_pct, parameters, horizon, rules)
    stop = levels(side, 1.0, atr_pct, parameters).stop_loss
    # Where what is left of the margin is the maintenance margin of the position as it is then.
    if side is Side.LONG:
        assert (1.0 - margin) / (1.0 - MAINTENANCE) < stop
    else:
        assert (1.0 + margin) / (1.0 + MAINTENANCE) > stop


def test_room_is_left_for_costs_and_the_margin_that_the_exchange_wants() -> None:
    dear = replace(RULES, fee_pct=1.0, slippage_pct=1.0, min_net_profit_pct=5.0)
    narrow = SignalParameters(take_profit_atr=1.0, stop_loss_atr=1.0)
    # A stop at 0.1 %, twice; costs of 4 %; a maintenance margin of 1 %.
    assert most_leverage(0.1, narrow, dear) == pytest.approx(1.0 / 0.052)
    assert leverage(0.5, 0.1, narrow, 1, dear) == 19.2


def test_a_raw_nine_tenths_without_a_proven_edge_gives_one() -> None:
    chance = replace(score(7), roc_auc=0.53, roc_auc_interval=(0.49, 0.57))
    assert leverage(proven_edge(0.9, chance), 0.5, PARAMETERS, 7, RULES) == 1.0


def test_a_proven_edge_gives_more_than_one() -> None:
    assert leverage(proven_edge(0.9, score(7)), 1.0, PARAMETERS, 7, RULES) > 2.0


def test_switched_off_it_is_one() -> None:
    assert leverage(0.4, 0.5, PARAMETERS, 7, replace(RULES, auto_leverage=False)) == 1.0


def test_it_is_a_quarter_of_the_stake_with_the_highest_growth() -> None:
    """Searched for instead of solved: the growth of the stake over both ends of the trade."""
    free = replace(RULES, fee_pct=0.0, slippage_pct=0.0)
    parameters = SignalParameters(take_profit_atr=3.0, stop_loss_atr=1.0)
    edge, win, loss = 0.3, 0.06, 0.02
    reached = loss / (loss + win) + edge

    def growth(times: float) -> float:
        return reached * math.log1p(win * times) + (1.0 - reached) * math.log1p(-loss * times)

    best = max((tenths / 10.0 for tenths in range(1, 490)), key=growth)
    assert leverage(edge, 2.0, parameters, 1, free) == pytest.approx(best / 4.0, abs=0.1)


def test_a_longer_holding_time_means_less() -> None:
    free = replace(RULES, fee_pct=0.0, slippage_pct=0.0)
    assert leverage(0.5, 3.0, PARAMETERS, 100, free) < leverage(0.5, 3.0, PARAMETERS, 7, free)
