import pytest

from services.trainer.domain.plans import plan
from shared.contracts.configuration import Configuration
from shared.contracts.records import TrainingPlan
from shared.contracts.terms import Mode
from shared.contracts.trading import TradingTerms

FULL = TrainingPlan(days_back=180, min_days=180, test_days=30, rounds=200)
QUICK = TrainingPlan(days_back=90, min_days=90, test_days=14, rounds=200)


@pytest.mark.parametrize("mode", Mode)
def test_only_a_quick_training_follows_the_quick_plan(mode: Mode) -> None:
    assert plan(Configuration(), mode) == (QUICK if mode is Mode.QUICK else FULL)


@pytest.mark.parametrize(
    ("configuration", "days_back"),
    [
        (Configuration(train_months_back=12), 360),
        (Configuration(train_months_back=12, train_days_back=730), 730),
    ],
)
def test_days_win_over_months(configuration: Configuration, days_back: int) -> None:
    assert plan(configuration, Mode.FULL).days_back == days_back


def test_a_plan_never_asks_for_more_days_than_it_reads() -> None:
    assert plan(Configuration(train_days_back=60), Mode.FULL).min_days == 60


def test_an_update_learns_from_what_is_configured() -> None:
    asked = plan(Configuration(incremental_epochs=9, incremental_rows=500), Mode.INCREMENTAL)
    assert (asked.added_rounds, asked.recent_rows) == (9, 500)


def test_signals_are_tried_out_on_the_configured_terms() -> None:
    configuration = Configuration(
        fee_pct=0.2,
        slippage_pct=0.01,
        funding_pct_per_day=0.03,
        signal_cooldown_candles=5,
        min_confidence_threshold=0.6,
        min_net_profit_pct=0.4,
    )
    assert plan(configuration, Mode.FULL).terms == TradingTerms(
        fee_pct=0.2,
        slippage_pct=0.01,
        funding_pct_per_day=0.03,
        signal_cooldown_candles=5,
        min_confidence_threshold=0.6,
        min_net_profit_pct=0.4,
    )
