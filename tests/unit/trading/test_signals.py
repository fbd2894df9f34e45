from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.contracts import codec
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.contracts.trading import FILTERS, Rejection, Side, Signal, SignalParameters
from shared.trading.signals import Outlook, Standing, decide
from tests.support.deciding import (
    M15,
    PARAMETERS,
    RULES,
    ended,
    opened,
    outlook,
    priced,
    score,
)
from tests.support.predicting import BTC, START

NOW = START + M15
FREE = Standing()


def decided(
    of: Outlook | None = None,
    standing: Standing = FREE,
    *,
    parameters: SignalParameters = PARAMETERS,
    **rules: Any,
) -> Signal | Rejection:
    return decide(of or outlook(), standing, parameters, replace(RULES, **rules), NOW)


def accepted(decision: Signal | Rejection) -> Signal:
    assert isinstance(decision, Signal)
    return decision


def rejected(decision: Signal | Rejection) -> Rejection:
    assert isinstance(decision, Rejection)
    return decision


def test_a_prediction_that_passes_every_filter_is_a_signal() -> None:
    signal = accepted(decided())
    assert (signal.side, signal.horizon, signal.confidence) == (Side.LONG, 7, 0.7)
    assert (signal.entry, signal.take_profit, signal.stop_loss) == (100.0, 104.0, 97.0)
    assert signal.net_profit_pct == pytest.approx(4.0 - 0.15 * 2.04)
    assert signal.expires_at == START + 8 * M15
    assert signal.opened_at == NOW
    assert [result.name for result in signal.filters] == list(FILTERS)
    assert all(result.passed for result in signal.filters)


def test_a_forecast_fall_is_sold() -> None:
    signal = accepted(decided(outlook(priced(p_up=0.3))))
    assert (signal.side, signal.take_profit, signal.stop_loss) == (Side.SHORT, 96.0, 103.0)


def test_the_stake_is_its_share_of_the_paper_capital_in_cents() -> None:
    signal = accepted(decided(paper_capital=50_000, stake_pct=2.0))
    assert signal.stake_cents == 100_000


def test_the_costs_in_force_are_those_of_the_signal() -> None:
    signal = accepted(decided(fee_pct=0.2, slippage_pct=0.3, funding_pct_per_day=0.4))
    assert (signal.fee_pct, signal.slippage_pct, signal.funding_pct_per_day) == (0.2, 0.3, 0.4)


def test_a_proven_edge_is_leveraged_and_a_confident_guess_is_not() -> None:
    sure = outlook(priced(p_up=0.95))
    unproven = replace(
        sure, scores=(replace(score(7), roc_auc=0.53, roc_auc_interval=(0.49, 0.57)),)
    )
    assert accepted(decided(sure)).leverage > 2.0
    assert accepted(decided(unproven)).leverage == 1.0


@pytest.mark.parametrize(("holding", "horizon"), [(7, 7), (30, 7), (1, 1), (4, 1)])
def test_the_forecast_of_the_nearest_horizon_decides(holding: int, horizon: int) -> None:
    rules: dict[str, Any] = {"min_confidence_threshold": 0.5, "auto_leverage": False}
    signal = accepted(decided(parameters=SignalParameters(holding=holding), **rules))
    assert signal.horizon == horizon


def test_the_accuracy_is_that_of_the_ensemble_at_the_horizon() -> None:
    others = (replace(score(7, accuracy=0.9), learner="basic"), score(1, accuracy=0.9))
    result = rejected(decided(replace(outlook(), scores=(*others, score(7, accuracy=0.4)))))
    assert result.reason == "accuracy"


def test_the_first_filter_that_fails_is_the_reason_and_all_are_told() -> None:
    rejection = rejected(decided(outlook(accuracy=0.1), min_confidence_threshold=0.9))
    assert rejection.reason == "accuracy"
    assert rejection.metadata == {
        "candle_at": "2026-01-05T00:00:00Z",
        "model_version": "v1",
        "horizon": 7,
        "p_up": 0.7,
        "side": "long",
        "entry": 100.0,
        "take_profit": 104.0,
        "stop_loss": 97.0,
        "atr_pct": 2.0,
        "leverage": 1.0,
    }
    assert [result.name for result in rejection.filters] == list(FILTERS)
    failed = [result.name for result in rejection.filters if not result.passed]
    assert failed == ["accuracy", "confidence"]


def test_without_a_prediction_it_says_why_there_is_none() -> None:
    nothing = Outlook(symbol=BTC, timeframe=Timeframe.M15, note="train it first")
    rejection = rejected(decided(nothing))
    assert rejection.reason == "no_model"
    assert rejection.metadata["note"] == "train it first"


def test_a_stale_prediction_is_not_traded() -> None:
    old = replace(priced(), stale=True, stale_reason="a newer candle has closed")
    rejection = rejected(decided(outlook(old)))
    assert rejection.reason == "stale"
    assert rejection.metadata["stale_reason"] == "a newer candle has closed"


@pytest.mark.parametrize("unknown", [{"close": None}, {"atr_pct": None}, {"atr_pct": 0.0}])
def test_without_a_price_that_moves_nothing_is_traded(unknown: dict[str, Any]) -> None:
    assert rejected(decided(outlook(replace(priced(), **unknown)))).reason == "net_profit"


def test_a_take_profit_below_zero_is_none() -> None:
    wild = replace(priced(p_up=0.3), atr_pct=60.0)
    assert rejected(decided(outlook(wild))).reason == "net_profit"


def test_a_stop_that_is_too_far_for_the_whole_price_is_refused() -> None:
    wild = replace(priced(), atr_pct=34.0)
    assert rejected(decided(outlook(wild))).reason == "leverage_cap"


def test_what_is_open_and_this_one_together_stay_within_the_cap() -> None:
    rules: dict[str, Any] = {
        "auto_leverage": False,
        "paper_capital": 1000,
        "max_exposure_pct": 10.0,
    }
    accepted(decided(standing=Standing(gross_cents=9_000), **rules))
    full = rejected(decided(standing=Standing(gross_cents=9_001), **rules))
    assert full.reason == "exposure_cap"
    by_name = {result.name: result for result in full.filters}
    assert by_name["exposure_cap"].value == pytest.approx(10.001)


@pytest.mark.parametrize(("candles", "reason"), [(5, "cooldown"), (4, None)])
def test_after_a_signal_has_ended_so_many_candles_pass(candles: int, reason: str | None) -> None:
    before = ended(opened(candle=-7), candles=candles)
    decision = decided(standing=Standing(ended=before), signal_cooldown_candles=3)
    assert getattr(decision, "reason", None) == reason


def test_a_candle_has_one_signal_at_most() -> None:
    again = rejected(
        decided(standing=Standing(ended=ended(opened(), candles=0)), signal_cooldown_candles=0)
    )
    assert again.reason == "already_open"


def test_a_symbol_has_one_open_signal_at_most() -> None:
    assert rejected(decided(standing=Standing(open=opened(candle=-1)))).reason == "already_open"


def test_the_same_decision_at_another_time_has_the_same_name() -> None:
    later = NOW + timedelta(minutes=5)
    again = decide(outlook(), FREE, PARAMETERS, RULES, later)
    assert again.id == decided().id
    low = replace(RULES, min_confidence_threshold=0.9)
    first = decide(outlook(), FREE, PARAMETERS, low, NOW)
    assert first.id == decide(outlook(), FREE, PARAMETERS, low, later).id


@pytest.mark.parametrize(
    "other",
    [
        outlook(priced(version="v2"), accuracy=0.1),
        outlook(priced(candle=1), accuracy=0.1),
        outlook(priced(Symbol("ETH/USDT")), accuracy=0.1),
        outlook(priced(p_up=0.5)),
    ],
    ids=["version", "candle", "symbol", "reason"],
)
def test_each_rejection_has_a_name_of_its_own(other: Outlook) -> None:
    rules: dict[str, Any] = {"min_confidence_threshold": 0.6}
    first = rejected(decided(outlook(accuracy=0.1), **rules))
    assert rejected(decided(other, **rules)).id != first.id


def test_a_symbol_without_a_prediction_is_told_once_per_candle_of_the_clock() -> None:
    nothing = Outlook(symbol=BTC, timeframe=Timeframe.M15)

    def name(minutes: int) -> str:
        now = START + timedelta(minutes=minutes)
        return decide(nothing, FREE, PARAMETERS, RULES, now).id

    assert name(0) == name(14)
    assert name(15) != name(14)


def test_a_decision_reads_back_as_it_was_written() -> None:
    signal, rejection = decided(), decided(outlook(accuracy=0.1))
    assert codec.decode(codec.encode(signal), Signal) == signal
    assert codec.decode(codec.encode(rejection), Rejection) == rejection
