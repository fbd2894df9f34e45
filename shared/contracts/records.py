"""What is stored: the newest state of each thing, in KV buckets and in answers to requests.

Times are aware and in UTC. A number that can be unknown is None, never NaN.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Self

from shared.contracts.configuration import Door
from shared.contracts.errors import AppError
from shared.contracts.instants import Instant
from shared.contracts.quality import Reliability
from shared.contracts.symbols import Symbol
from shared.contracts.terms import (
    ENSEMBLE,
    Direction,
    Horizon,
    Mode,
    Source,
    Status,
    Timeframe,
)
from shared.contracts.trading import TradingTerms

#: How likely it is that a return is within the interval that a forecast gives for it.
INTERVAL_COVERAGE: Final = 0.8

#: In characters. An event holds 64 KiB, and a character in JSON is at most 6 bytes.
_LONGEST_REASON: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why something did not work: a stable code, and a sentence that says what to mend."""

    code: str
    message: str

    @classmethod
    def of(cls, error: AppError) -> Self:
        """The words of the error, cut where they would fill the event that carries them."""
        message = str(error)
        if len(message) > _LONGEST_REASON:
            message = message[: _LONGEST_REASON - 1] + "…"
        return cls(code=error.code, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Universe:
    """What is trained and predicted. KV `evertrain_config`, key `universe`; owner: schedulers.

    `revision` grows by one with each change. `chosen_by`: whether the symbols are those of the
    settings, of people who named them here, or else what the provider offers. `overrules` names the
    list in the settings that people decided against: when that list changes, it counts again.
    """

    symbols: tuple[Symbol, ...]
    timeframe: Timeframe
    horizons: tuple[Horizon, ...]
    revision: int = 0
    chosen_by: Literal["settings", "provider", "people"] = "settings"
    overrules: str | None = None


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
class SymbolHolder:
    """Who works on the model of one symbol. KV `evertrain_locks`, key `symbol.<symbol>`; owner:
    that trainer. Where it is a job, the whole `LockHolder` stands there.
    """

    run_id: str
    holder: str
    started_at: Instant
    token: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """How much history a job reads and how it is judged, the same for every worker of a run.

    An update learns from the newest `recent_rows`, and adds `added_rounds` per learner and horizon
    where it adds any. `terms` are those on which signals are tried out after a full training.
    """

    days_back: int
    min_days: int
    test_days: int
    rounds: int
    recent_rows: int = 2000
    added_rounds: int = 5
    terms: TradingTerms = field(default_factory=TradingTerms)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsoundModel:
    """A live model that does not give what it should, and why."""

    symbol: Symbol
    reason: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class PostTrainCheck:
    """The state of the registry at the end of a run: how many of its symbols have a sound model,
    which have none, and which have one that is not sound.
    """

    sound: int
    missing: tuple[Symbol, ...]
    unsound: tuple[UnsoundModel, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run over many symbols. KV `evertrain_runs`, key `run.<run_id>`; owner: coordinator.

    Whoever wants a run to end writes `cancel_requested_at`, and nothing else. A request that is
    cancelled before a trainer has looked at it has a record without symbols.
    """

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
    cancel_requested_at: Instant | None = None

    @property
    def total(self) -> int:
        return len(self.symbols)

    @property
    def batches(self) -> int:
        """The last one may be smaller than `batch_size`."""
        return -(-self.total // self.batch_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One symbol in a run. KV `evertrain_runs`, key `job.<run_id>.<symbol>`; owner: its worker.

    A job that succeeded has `model_version`, or, where its model was not let live, `refused`.
    `avg_roc_auc_null`: see `ModelRecord`. `mode` is what was asked for, and, once it has succeeded,
    what was done; `note` says why that is something else, or what is due next. `dropped` are
    horizons that the history is too short for.
    """

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
    avg_roc_auc_null: float | None = None
    model_version: str | None = None
    worker: str | None = None
    error: Problem | None = None
    refused: Problem | None = None
    dropped: tuple[Horizon, ...] = ()
    note: str | None = None

    @property
    def duration_s(self) -> float | None:
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How one learner did on candles it had not seen, for one horizon.

    `learner` is one of `LEARNERS` or `ensemble`, which is what is served. `rows` are the
    out-of-sample rows behind the numbers, `effective_rows` as many as do not share candles;
    `up_share` of them rose, and `base_rate` is the accuracy of always naming the commoner class.
    A ROC AUC is None where the rows hold one class only. `roc_auc_interval` holds the true one with
    95 % confidence, however much rows depend on their neighbours; `roc_auc_null` and
    `roc_auc_null_high` are the mean and the 95 % quantile of what the ensemble gets in markets that
    foretell nothing, over a window of this length.

    `slope` is what the ensemble's log-odds would have to be multiplied by to be calibrated, as
    these rows alone say, give or take `slope_error`: below 1 it is too bold. None where they do not
    say. `reliability` holds the ensemble's forecasts in ten bins, by probability; models of before
    have none.
    """

    horizon: Horizon
    learner: str
    roc_auc: float | None
    roc_auc_interval: tuple[float, float] | None
    roc_auc_null: float | None
    roc_auc_null_high: float | None
    log_loss: float
    brier: float
    calibration_error: float
    accuracy: float
    base_rate: float
    up_share: float
    rows: int
    effective_rows: float
    slope: float | None = None
    slope_error: float | None = None
    reliability: tuple[Reliability, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A new model against the live one, on `rows` candles that neither knew when it spoke of them.

    `excess` is how much more log loss the new one has, in nats per row, averaged over `horizons`;
    the truth is more than `excess_low` with 99 % confidence. Where that is above `margin`, the new
    model is refused. Where the two could not be compared, `note` says why, and it is not.
    """

    live_version: str
    margin: float
    horizons: tuple[Horizon, ...] = ()
    rows: int = 0
    excess: float | None = None
    excess_low: float | None = None
    note: str | None = None

    @property
    def refused(self) -> bool:
        return self.excess_low is not None and self.excess_low > self.margin


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """How an earlier model came to live again: when, in place of which, and who asked for it."""

    at: Instant
    from_version: str
    by: Door
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """The live model of one symbol. KV `evertrain_models`, key `<symbol>`; owner: trainers.

    `token` and `epoch` fence promotions: within one epoch the token only grows. `verdict` is None
    for a first model, which had no rival.

    A full model's `native_sha256` names the file that its updates start from. An update names the
    same file, and in `base_version` the full model, made at `base_at`; it is the `updates`-th one.
    Where `needs_full`, it has fallen behind and the next training is to be a full one.

    `rolled_back` is None unless it lives for a second time; all else is as it was then, but for the
    token.
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
    verdict: Verdict | None = None
    native_sha256: str | None = None
    base_version: str | None = None
    updates: int = 0
    needs_full: bool = False
    base_at: Instant | None = None
    rolled_back: RolledBack | None = None

    @property
    def trained_at(self) -> datetime:
        """When it was trained, or the full model that it brings up to date."""
        return self.base_at or self.created_at

    @property
    def avg_roc_auc(self) -> float | None:
        """The mean over horizons of the ensemble's ROC AUC. To be read beside its null."""
        return avg_roc_auc(self.scores)

    @property
    def avg_roc_auc_null(self) -> float | None:
        """What `avg_roc_auc` is on average in markets that foretell nothing, over such a window."""
        return avg_roc_auc_null(self.scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupReport:
    """What became of the artifacts, and of the files that updates start from. Of a dry run, what
    would have.
    """

    kept: int
    deleted: int
    freed_bytes: int
    dry_run: bool


def avg_roc_auc(scores: Iterable[Score]) -> float | None:
    return _mean(score.roc_auc for score in scores if score.learner == ENSEMBLE)


def avg_roc_auc_null(scores: Iterable[Score]) -> float | None:
    return _mean(score.roc_auc_null for score in scores if score.learner == ENSEMBLE)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """One horizon of a prediction. Percentages are of the close at `candle_at`.

    `confidence` is the probability of `direction`. `interval_pct` holds the return with a
    probability of `interval_coverage`, and it is as likely below as above, while the market is as
    it was in the training window; None in forecasts of older models, whose interval is the middle
    80 % of that window's returns, whatever the market does now.
    """

    horizon: Horizon
    p_up: float
    direction: Direction
    confidence: float
    expected_return_pct: float
    interval_pct: tuple[float, float]
    by_learner: dict[str, float]
    interval_coverage: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The newest forecasts of one symbol. KV `evertrain_predictions`, key `<symbol>`; owner:
    predictor. `close` is that of the candle at `candle_at`, and `atr_pct` the average true range
    over the 14 candles that end with it, in percent of it.
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
    close: float | None = None
    atr_pct: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pregenerated:
    """How many predictions were made anew; `kept` ones had just been, with as long to live,
    `failed` could not be, each for a reason in the log, and `waiting` symbols have no model yet.
    """

    made: int
    failed: int
    waiting: int
    kept: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pregeneration:
    """How far a predictor has come, or how its last one ended: `done` of `of` symbols with a model,
    and `failed` of those that are done.
    """

    running: bool
    done: int
    of: int
    failed: int
    since: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReport:
    """The prediction cache of the predictor that answers, `instance`. Counts are since its start.

    `hits_disk` were taken from the disk, and not asked for since; `stale` are answers of either
    kind that were marked so. `hit_rate` is None before the first question, ages before the first
    prediction. `problem` is why there is no disk tier now.
    """

    instance: str
    enabled: bool
    ttl_hours: float
    in_memory: int
    memory_bytes: int
    on_disk: int
    disk_bytes: int
    hits_memory: int
    hits_disk: int
    misses: int
    stale: int
    failures: int
    hit_rate: float | None
    oldest_age_s: float | None
    pregeneration: Pregeneration | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """How many symbols had a cached prediction, which no predictor has any more. Each is computed
    when it is asked for, and soon if it is not.
    """

    symbols: int


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

    `error` is what stands in the way of its candles now, `last_error` what did so last, gone or
    not, since the scheduler that answers has run.
    """

    symbol: Symbol
    timeframe: Timeframe
    first: Instant | None
    last: Instant | None
    rows: int
    gaps: int
    lag_s: float | None
    error: Problem | None = None
    last_error: Problem | None = None
    last_error_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentRun:
    """The run in progress. `progress_pct` counts what running jobs have done as well; `eta_s` is
    None until a job like those that are left has been measured, in this run or an earlier one.
    """

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
class Started:
    """The automation runs. `run_id` is the run that it begins with, or the one in progress."""

    status: Literal["started", "already_running"]
    symbols: tuple[Symbol, ...]
    timeframe: Timeframe
    quick_mode: bool
    run_id: str | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The automation rests, and these runs are being cancelled."""

    status: Literal["stopped"] = "stopped"
    cancelled: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TickRecord:
    """An instant of a schedule that was acted on. KV `evertrain_ticks`, key
    `tick.<schedule>.<instant>`; owner: whichever scheduler noted it first.

    `missed` instants of the schedule were not acted on since the one before. While `done_at` is
    None, whoever noted it is acting on it, or has died in between.
    """

    schedule: str
    due: Instant
    noted_at: Instant
    missed: int = 0
    done_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStatus:
    """Everything about training at one glance: `GET /auto-train/status`.

    `missed_ticks`: how many instants of the schedules nobody acted on in the last 30 days.
    """

    enabled: bool
    next_run_at: Instant | None
    last_run: RunRecord | None
    current_run: CurrentRun | None
    lock: LockHolder | None
    coverage: Coverage
    success_rate: float | None
    missed_ticks: int = 0
