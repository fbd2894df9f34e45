from dataclasses import replace
from typing import Any

import pytest

from shared.contracts.configuration import Configuration
from shared.contracts.trading import FILTERS, FilterResult, SignalParameters
from shared.trading.filters import Figures, filtered

RULES = Configuration(
    min_accuracy_target=0.6,
    min_confidence_threshold=0.55,
    min_net_profit_pct=1.0,
    max_exposure_pct=200.0,
    signal_cooldown_candles=3,
)
PARAMETERS = SignalParameters(min_confidence=0.6)
#: Each at its threshold.
FAIR = Figures(
    predicted=True,
    stale=False,
    accuracy=0.6,
    confidence=0.6,
    net_profit_pct=1.0,
    most_leverage=1.0,
    exposure_pct=200.0,
    candles_since=3,
    already_open=False,
)
UNKNOWN = Figures(predicted=False, stale=True)


def failed(rules: Configuration = RULES, **changes: Any) -> list[str]:
    results = filtered(replace(FAIR, **changes), PARAMETERS, rules)
    return [result.name for result in results if not result.passed]


def test_each_filter_is_told_in_the_fixed_order() -> None:
    assert tuple(result.name for result in filtered(FAIR, PARAMETERS, RULES)) == FILTERS
    assert tuple(result.name for result in filtered(UNKNOWN, PARAMETERS, RULES)) == FILTERS


def test_what_is_at_its_threshold_passes() -> None:
    assert failed() == []


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("no_model", {"predicted": False}),
        ("stale", {"stale": True}),
        ("accuracy", {"accuracy": 0.599}),
        ("confidence", {"confidence": 0.599}),
        ("net_profit", {"net_profit_pct": 0.999}),
        ("leverage_cap", {"most_leverage": 0.999}),
        ("exposure_cap", {"exposure_pct": 200.001}),
        ("cooldown", {"candles_since": 2}),
        ("already_open", {"already_open": True}),
    ],
)
def test_each_filter_refuses_on_its_own(name: str, changes: dict[str, Any]) -> None:
    assert failed(**changes) == [name]


def test_all_are_applied_whatever_those_before_say() -> None:
    assert failed(stale=True, confidence=0.5, already_open=True) == [
        "stale",
        "confidence",
        "already_open",
    ]


def test_what_is_unknown_does_not_pass_but_a_signal_that_never_was_needs_no_cooldown() -> None:
    results = filtered(UNKNOWN, PARAMETERS, RULES)
    assert [result.name for result in results if result.passed] == ["cooldown", "already_open"]
    assert FilterResult(name="accuracy", value=None, threshold=0.6, passed=False) in results


def test_the_stricter_of_the_two_confidences_counts() -> None:
    assert failed(replace(RULES, min_confidence_threshold=0.7), confidence=0.65) == ["confidence"]


def test_a_profit_of_nothing_is_none() -> None:
    assert failed(replace(RULES, min_net_profit_pct=0.0), net_profit_pct=0.0) == ["net_profit"]
