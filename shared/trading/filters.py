"""What a prediction has to pass to become a signal, in the order in which it is told.

| filter | value | passes |
|---|---|---|
| no_model | predictions there are of the symbol: 0 or 1 | at least 1 |
| stale | reasons why it is not the newest there should be: 0 or 1 | at most 0 |
| accuracy | share of unseen candles on which the ensemble was right, at this horizon | at least |
| confidence | probability of the forecast direction | at least |
| net_profit | percent of the entry that the take-profit leaves after costs | at least, above 0 |
| leverage_cap | highest leverage that the stop-loss allows: see `most_leverage` | at least 1 |
| exposure_cap | percent of the paper capital that would be open, with this one | at most |
| cooldown | whole candles since the last signal of the symbol ended | at least |
| already_open | signals that are open, or were given for the same candle: 0 or 1 | at most 0 |

Each is applied, whatever those before it say. What is not known does not pass.
"""

from dataclasses import dataclass

from shared.contracts.configuration import Configuration
from shared.contracts.trading import FilterResult, SignalParameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is held against the filters. None is unknown; for `candles_since` it is never."""

    predicted: bool
    stale: bool
    accuracy: float | None = None
    confidence: float | None = None
    net_profit_pct: float | None = None
    most_leverage: float | None = None
    exposure_pct: float | None = None
    candles_since: int | None = None
    already_open: bool = False


def filtered(
    figures: Figures, parameters: SignalParameters, rules: Configuration
) -> tuple[FilterResult, ...]:
    """One result for each filter, in the order of `trading.FILTERS`."""
    sure = max(rules.min_confidence_threshold, parameters.min_confidence)
    return (
        _at_least("no_model", float(figures.predicted), 1.0),
        _at_most("stale", float(figures.stale), 0.0),
        _at_least("accuracy", figures.accuracy, rules.min_accuracy_target),
        _at_least("confidence", figures.confidence, sure),
        _net_profit(figures.net_profit_pct, rules.min_net_profit_pct),
        _at_least("leverage_cap", figures.most_leverage, 1.0),
        _at_most("exposure_cap", figures.exposure_pct, rules.max_exposure_pct),
        _cooldown(figures.candles_since, float(rules.signal_cooldown_candles)),
        _at_most("already_open", float(figures.already_open), 0.0),
    )


def _at_least(name: str, value: float | None, threshold: float) -> FilterResult:
    passed = value is not None and value >= threshold
    return FilterResult(name=name, value=value, threshold=threshold, passed=passed)


def _at_most(name: str, value: float | None, threshold: float) -> FilterResult:
    passed = value is not None and value <= threshold
    return FilterResult(name=name, value=value, threshold=threshold, passed=passed)


def _net_profit(value: float | None, threshold: float) -> FilterResult:
    passed = value is not None and value >= threshold and value > 0.0
    return FilterResult(name="net_profit", value=value, threshold=threshold, passed=passed)


def _cooldown(since: int | None, threshold: float) -> FilterResult:
    value = None if since is None else float(since)
    passed = value is None or value >= threshold
    return FilterResult(name="cooldown", value=value, threshold=threshold, passed=passed)
