"""Which symbols have drifted, judged over all of them at once."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from shared.contracts.quality import DriftFinding, DriftMeasurement, Scorecard, Track
from shared.contracts.records import ModelRecord
from shared.contracts.symbols import Symbol
from shared.contracts.terms import ENSEMBLE, Horizon
from shared.model.student import two_sided

#: In so many of the checks in which nothing has drifted, at least one symbol is called drifted.
FALSE_ALARMS: Final = 0.1

#: So many forecasts that share no candles tell something of the others.
MIN_OUTCOMES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a symbol with a live model. `measurement` is None where its candles could
    not be measured, and `unmeasured` says why; `unanswered` is that no trainer was there to do it.
    """

    model: ModelRecord
    card: Scorecard
    measurement: DriftMeasurement | None = None
    unmeasured: str = ""
    unanswered: bool = False


class Outcome(NamedTuple):
    """The horizon at which forecasts did worst against what was promised of them. `p_value` is
    corrected for the number of horizons.
    """

    horizon: Horizon
    log_loss: float
    promised: float
    p_value: float


def judged(known: Mapping[Symbol, Evidence]) -> list[DriftFinding]:
    """A finding for each symbol, the surest first.

    Of the two things that can have drifted, features and outcomes, the surer counts, for twice its
    p-value. Which symbols have drifted is decided by the procedure of Benjamini and Hochberg (1995)
    over all of them: where none has, one or more are called so in `FALSE_ALARMS` of all checks;
    where some have, at most that share of those that are called so, on average, have not. It holds
    for symbols that move together, too (Benjamini and Yekutieli 2001, positive dependence).
    """
    outcomes = {symbol: outcome(one.model, one.card) for symbol, one in known.items()}
    p_values = {
        symbol: p_value
        for symbol, one in known.items()
        if (p_value := _either(one.measurement, outcomes[symbol])) is not None
    }
    drifted = discoveries(p_values, FALSE_ALARMS)
    found = [
        _finding(symbol, one, outcomes[symbol], drifted=symbol in drifted)
        for symbol, one in known.items()
    ]
    found.sort(key=lambda one: (p_values.get(one.symbol, 2.0), one.symbol))
    return found


def discoveries(p_values: Mapping[Symbol, float], rate: float) -> frozenset[Symbol]:
    """Those whose p-values are among the k smallest, for the greatest k of which the k-th is at
    most k times `rate` over the number of all.
    """
    ordered = sorted(p_values, key=lambda symbol: p_values[symbol])
    most = max(
        (k for k, symbol in enumerate(ordered, 1) if p_values[symbol] <= k * rate / len(ordered)),
        default=0,
    )
    return frozenset(ordered[:most])


def outcome(model: ModelRecord, card: Scorecard) -> Outcome | None:
    """How the served forecasts of the live model, and of the models that it brings up to date, did
    against the log loss of its validation; None where too few have been scored.

    Losses of neighbouring candles overlap as their horizons do, so that `horizon` of them count as
    one, then and now. The difference of the means is held against their spread by Student's t.
    """
    served = _served(model, card)
    found = []
    for score in model.scores:
        tracks = served.get(score.horizon, [])
        independent = sum(track.forecasts for track in tracks) / score.horizon
        if score.learner != ENSEMBLE or independent < MIN_OUTCOMES:
            continue
        mean, variance = _losses(tracks)
        error = math.sqrt(variance * (1.0 / independent + 1.0 / max(score.effective_rows, 1.0)))
        worse = (mean - score.log_loss) / error if error else 0.0
        found.append(
            Outcome(score.horizon, mean, score.log_loss, _above(worse, int(independent) - 1))
        )
    if not found:
        return None
    worst = min(found, key=lambda one: one.p_value)
    return worst._replace(p_value=min(1.0, worst.p_value * len(found)))


def _served(model: ModelRecord, card: Scorecard) -> dict[Horizon, list[Track]]:
    """By horizon, the tracks of the live model and of what it is an update of. Versions begin with
    the time of their making, so those in between are that model's other updates.
    """
    found: dict[Horizon, list[Track]] = defaultdict(list)
    for track in card.tracks:
        if (model.base_version or model.version) <= track.model_version <= model.version:
            found[track.horizon].append(track)
    return found


def _losses(tracks: Iterable[Track]) -> tuple[float, float]:
    """The mean and the variance of the log losses."""
    sums = [(one.forecasts, one.log_loss_sum, one.log_loss_square_sum) for one in tracks]
    rows, total, squares = (sum(column) for column in zip(*sums, strict=True))
    mean = total / rows
    return mean, max(squares / rows - mean**2, 0.0) * rows / max(rows - 1, 1)


def _above(t: float, freedom: int) -> float:
    """How often Student's t is above this."""
    beyond = two_sided(t, freedom) / 2.0
    return beyond if t > 0.0 else 1.0 - beyond


def _either(measurement: DriftMeasurement | None, served: Outcome | None) -> float | None:
    p_values = [one.p_value for one in (measurement, served) if one is not None]
    return min(1.0, min(p_values) * len(p_values)) if p_values else None


def _finding(
    symbol: Symbol, known: Evidence, served: Outcome | None, *, drifted: bool
) -> DriftFinding:
    measurement = known.measurement
    return DriftFinding(
        symbol=symbol,
        model_version=known.model.version,
        drifted=drifted,
        feature_p_value=measurement.p_value if measurement else None,
        outcome_p_value=served.p_value if served else None,
        features=measurement.features if measurement and drifted else (),
        note=_note(known, served, drifted=drifted),
    )


def _note(known: Evidence, served: Outcome | None, *, drifted: bool) -> str:
    """What is surest where it has drifted, and what is not known where it has not."""
    measurement = known.measurement
    if not drifted:
        unknown = [] if measurement else [known.unmeasured]
        if served is None:
            unknown.append("too few predictions have been scored")
        return "; ".join(["no drift", *unknown] if measurement or served else unknown)
    if measurement and (served is None or measurement.p_value <= served.p_value):
        names = ", ".join(one.feature for one in measurement.features[:3])
        return f"the market has changed, most of all {names}"
    assert served is not None
    return (
        f"forecasts with horizon {served.horizon} do worse than was promised: a log loss of "
        f"{served.log_loss:.4f} instead of {served.promised:.4f}"
    )
