"""How much a training reads and how it is judged, as it is configured now."""

from dataclasses import fields

from shared.contracts.configuration import Configuration
from shared.contracts.records import TrainingPlan
from shared.contracts.terms import Mode
from shared.contracts.trading import TradingTerms


def plan(configuration: Configuration, mode: Mode) -> TrainingPlan:
    """The same for every job of this mode in a run.

    An update has the full plan: without a base to start from it becomes a full training. No plan
    asks for more days than it reads.
    """
    if mode is Mode.QUICK:
        return TrainingPlan(
            days_back=configuration.quick_training_min_days,
            min_days=configuration.quick_training_min_days,
            test_days=configuration.quick_training_test_days,
            rounds=configuration.train_epochs,
        )
    return TrainingPlan(
        days_back=configuration.days_back,
        min_days=min(configuration.full_training_min_days, configuration.days_back),
        test_days=configuration.full_training_test_days,
        rounds=configuration.train_epochs,
        recent_rows=configuration.incremental_rows,
        added_rounds=configuration.incremental_epochs,
        terms=_terms(configuration),
    )


def _terms(configuration: Configuration) -> TradingTerms:
    names = (field.name for field in fields(TradingTerms))
    return TradingTerms(**{name: getattr(configuration, name) for name in names})
