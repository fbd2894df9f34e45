"""What is stored: the newest state of each thing, in KV buckets and in answers to requests.

Times are aware and in UTC. A number that can be unknown is None, never NaN.
"""

from dataclasses import dataclass
from typing import Literal

from shared.contracts.symbols import Symbol
from shared.contracts.terms import Direction, Horizon, Instant, Mode, Source, Status, Timeframe


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why something did not work: a stable code, and a sentence that says what to mend."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Universe:
    """What is trained and predicted. KV `evertrain_config`, key `universe`; owner: scheduler."""

    symbols: tuple[Symbol, ...]
    timeframe: Timeframe
    horizons: tuple[Horizon, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockHolder:
    """Who trains. KV `evertrain_locks`, key `training`; owner: the coordinating trainer.

    `token` is the sequence number of the write that acquired the lock; it is 0 in that very write.
    """

    run_id: str
    source: Source
    mode: Mode
    holder: str
    started_at: Instant
    token: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """How much history a job reads and how it is judged, the same for every worker of a run."""

    days_back: int
    min_days: int
    test_days: int
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PostTrainCheck:
    """The state of the registry at the end of a run: what its symbols really have."""

    sound: int
    missing: tuple[Symbol, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run over many symbols. KV `evertrain_runs`, key `run.<run_id>`; owner: coordinator."""

    run_id: str
    mode: Mode
    source: Source
    status: Status
    symbols: tuple[Symbol, ...]
    batch_size: int
    requested_at: Instant
    started_at: Instant | None = None
    finished_at: Instant | None = None
    done: int = 0
    failed: int = 0
    skipped: int = 0
    error: Problem | None = None
    check: PostTrainCheck | None = None

    @property
    def total(self) -> int:
        return len(self.symbols)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One symbol in a run. KV `evertrain_runs`, key `job.<run_id>.<symbol>`; owner: its worker."""

    job_id: str
    run_id: str
    symbol: Symbol
    mode: Mode
    source: Source
    status: Status
    created_at: Instant
    started_at: Instant | None = None
    finished_at: Instant | None = None
    progress_pct: float = 0.0
    avg_roc_auc: float | None = None
    model_version: str | None = None
    worker: str | None = None
    error: Problem | None = None

    @property
    def duration_s(self) -> float | None:
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How one learner did on candles it had not seen, for one horizon.

    `learner` is one of `LEARNERS` or `ensemble`. `rows` are the out-of-sample rows behind the
    numbers; a ROC AUC is None where they hold one class only.
    """

    horizon: Horizon
    learner: str
    roc_auc: float | None
    log_loss: float
    accuracy: float
    base_rate: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """The live model of one symbol. KV `evertrain_models`, key `<symbol>`; owner: trainers.

    `token` and `epoch` fence promotions: within one epoch the token only grows.
    """

    symbol: Symbol
    version: str
    sha256: str
    size: int
    created_at: Instant
    timeframe: Timeframe
    horizons: tuple[Horizon, ...]
    mode: Mode
    run_id: str
    token: int
    epoch: str
    candle_at: Instant
    rows: int
    scores: tuple[Score, ...]
    libraries: dict[str, str]

    @property
    def avg_roc_auc(self) -> float | None:
        """The mean over horizons of the ensemble's ROC AUC."""
        known = [
            s.roc_auc for s in self.scores if s.learner == "ensemble" and s.roc_auc is not None
        ]
        return sum(known) / len(known) if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """One horizon of a prediction. Percentages are of the close at `candle_at`.

    `confidence` is the probability of `direction`. `interval_pct` holds the middle 80 % of the
    returns over this horizon in the training window.
    """

    horizon: Horizon
    p_up: float
    direction: Direction
    confidence: float
    expected_return_pct: float
    interval_pct: tuple[float, float]
    by_learner: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The newest forecasts of one symbol. KV `evertrain_predictions`, key `<symbol>`; owner:
    predictor.
    """

    symbol: Symbol
    timeframe: Timeframe
    predictions: tuple[Forecast, ...]
    model_version: str
    candle_at: Instant
    generated_at: Instant
    expires_at: Instant
    cache: Literal["memory", "disk", "miss"] = "memory"
    stale: bool = False
    stale_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """One line of the top list: a symbol and its best forecast under the asked order."""

    symbol: Symbol
    forecast: Forecast
    model_version: str
    candle_at: Instant
    stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleSummary:
    """One series in the candle store. `lag_s`: how far its last close is behind the market's
    clock; `gaps`: missing candles between the first and the last, never filled silently.
    """

    symbol: Symbol
    timeframe: Timeframe
    first: Instant | None
    last: Instant | None
    rows: int
    gaps: int
    lag_s: float | None
    error: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentRun:
    """The run in progress. `eta_s` is None until a job of it has finished."""

    run_id: str
    source: Source
    mode: Mode
    started_at: Instant
    total: int
    done: int
    failed: int
    skipped: int
    progress_pct: float
    eta_s: float | None
    batch: int
    batches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How fresh the registry is. `fresh` is younger than the maximum age."""

    symbols: int
    fresh: int
    stale: int
    missing: int
    oldest_age_days: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStatus:
    """Everything about training at one glance: `GET /auto-train/status`."""

    enabled: bool
    next_run_at: Instant | None
    last_run: RunRecord | None
    current_run: CurrentRun | None
    lock: LockHolder | None
    coverage: Coverage
    success_rate: float | None
