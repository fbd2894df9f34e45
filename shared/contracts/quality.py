"""How well predictions really did, and whether the market still is what the models have learned."""

from dataclasses import dataclass

from shared.contracts.instants import Instant
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """A forecast that was served and whose horizon has not passed: the probability that the close
    `horizon` candles after `candle_at` is above the one at it.
    """

    candle_at: Instant
    model_version: str
    horizon: Horizon
    p_up: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """The forecasts of one tenth of the probabilities: how many, the sum of what they said, and how
    many of them rose.
    """

    forecasts: int
    p_up_sum: float
    ups: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What one model version foretold for one horizon, scored when it had passed.

    `bins` are ten, by probability. Sums, so that more can be added: see `hit_rate` and `brier`.
    Losses are in nats; `log_loss_square_sum` says how far they spread. Forecasts of neighbouring
    candles share most of their future, so they tell as much as `forecasts / horizon` that do not.
    """

    model_version: str
    horizon: Horizon
    forecasts: int
    hits: int
    brier_sum: float
    log_loss_sum: float
    log_loss_square_sum: float
    bins: tuple[Reliability, ...]
    first_at: Instant
    last_at: Instant

    @property
    def hit_rate(self) -> float:
        return self.hits / self.forecasts

    @property
    def brier(self) -> float:
        return self.brier_sum / self.forecasts

    @property
    def log_loss(self) -> float:
        return self.log_loss_sum / self.forecasts


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """Every prediction of a symbol that was served, scored or waiting to be. KV
    `evertrain_quality`, key `served.<symbol>`; owner: predictors. There are tracks of the newest
    ten model versions.
    """

    symbol: Symbol
    awaited: tuple[Awaited, ...] = ()
    tracks: tuple[Track, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDrift:
    """One feature, then and now. `p_value`: how often it would look so different without drift."""

    feature: str
    psi: float
    psi_threshold: float
    ks: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftMeasurement:
    """One symbol: the candles that its live model was trained on against the newest ones.

    `p_value` is that of the symbol as a whole, corrected for the number of features and for rows
    that depend on their neighbours. `features` are the ones that moved most.
    """

    symbol: Symbol
    model_version: str
    reference_rows: int
    recent_rows: int
    p_value: float
    features: tuple[FeatureDrift, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFinding:
    """What is known of one symbol: whether it has drifted, and in what.

    `feature_p_value` and `outcome_p_value` are what the judgement rests on, None where too little
    is known; `note` says it in words, and whether a training was asked for.
    """

    symbol: Symbol
    model_version: str | None
    drifted: bool
    feature_p_value: float | None
    outcome_p_value: float | None
    features: tuple[FeatureDrift, ...]
    note: str
    training_run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """The newest check. KV `evertrain_quality`, key `drift`; owner: schedulers.

    `symbols` with a live model were looked at, and `drifted` of them are called so: in
    `false_alarms` of all checks one or more where none has; where some have, at most that share of
    those that are called so, on average, have not. `findings` are the thousand surest.
    """

    id: str
    at: Instant
    symbols: int
    drifted: int
    false_alarms: float
    findings: tuple[DriftFinding, ...]
