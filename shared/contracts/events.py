"""Facts published on the bus: past tense, immutable, one class per subject.

The subject is `evertrain.event.<type>`, with the symbol's token behind it where there is one.
Adding an optional field keeps `v`. Any other change is a new class; the old one stays, with its
golden file, for as long as the stream may hold it. Readers ignore fields they do not know.

`id` is derived from what happened, not from when it was said, so that saying it twice is one event.
"""

from dataclasses import dataclass, fields
from typing import Literal, get_args

from shared.contracts.instants import Instant
from shared.contracts.records import LockHolder, Problem, Verdict
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon, Mode, Source, Timeframe
from shared.contracts.trading import Rejection, Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    v: Literal[1] = 1
    id: str
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequested(_Event):
    """A request became a run. From the coordinating trainer; for gateway and people."""

    type: Literal["run.requested"] = "run.requested"
    run_id: str
    mode: Mode
    source: Source
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(_Event):
    """The run holds the training lock. From the coordinating trainer."""

    type: Literal["run.started"] = "run.started"
    run_id: str
    mode: Mode
    source: Source
    total: int
    batches: int
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgressed(_Event):
    """A job of the run ended. Counts are of jobs that ended. From the coordinating trainer."""

    type: Literal["run.progressed"] = "run.progressed"
    run_id: str
    mode: Mode
    source: Source
    total: int
    done: int
    failed: int
    skipped: int
    batch: int
    batches: int
    progress_pct: float
    eta_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCompleted(_Event):
    """Every job of the run ended, well or badly. From the coordinating trainer."""

    type: Literal["run.completed"] = "run.completed"
    run_id: str
    mode: Mode
    source: Source
    total: int
    done: int
    failed: int
    skipped: int
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed(_Event):
    """The run as a whole could not go on. From the coordinating trainer."""

    type: Literal["run.failed"] = "run.failed"
    run_id: str
    mode: Mode
    source: Source
    error: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSkipped(_Event):
    """The run did not start: nothing was due, or `lock` shows who trains. From the coordinator."""

    type: Literal["run.skipped"] = "run.skipped"
    run_id: str
    mode: Mode
    source: Source
    reason: str
    lock: LockHolder | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStarted(_Event):
    """A worker began with one symbol. From that trainer."""

    type: Literal["job.started"] = "job.started"
    run_id: str
    symbol: Symbol
    mode: Mode
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgressed(_Event):
    """The stage that a job is in: reading, features, validating, fitting, checking. Told once a
    second at most, so that a short job leaves some out.
    """

    type: Literal["job.progressed"] = "job.progressed"
    run_id: str
    symbol: Symbol
    stage: str
    progress_pct: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCompleted(_Event):
    """A job ended with a promoted model, or with one that was `refused`. From the worker.

    `mode`, `dropped` and `note`: see `JobRecord`.
    """

    type: Literal["job.completed"] = "job.completed"
    run_id: str
    symbol: Symbol
    model_version: str | None
    avg_roc_auc: float | None
    avg_roc_auc_null: float | None
    duration_s: float
    refused: Problem | None = None
    mode: Mode | None = None
    dropped: tuple[Horizon, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed(_Event):
    """A job ended without a model; the live model stays. From the worker."""

    type: Literal["job.failed"] = "job.failed"
    run_id: str
    symbol: Symbol
    error: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSkipped(_Event):
    """A job had nothing to do. From the worker."""

    type: Literal["job.skipped"] = "job.skipped"
    run_id: str
    symbol: Symbol
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPromoted(_Event):
    """A model went live. From the worker; the predictor follows the registry itself."""

    type: Literal["model.promoted"] = "model.promoted"
    run_id: str
    symbol: Symbol
    model_version: str
    previous_version: str | None
    token: int
    avg_roc_auc: float | None
    avg_roc_auc_null: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRefused(_Event):
    """A new model was worse than the live one, which stays. From the worker; for people.

    The artifact is kept under its `sha256`.
    """

    type: Literal["model.refused"] = "model.refused"
    run_id: str
    symbol: Symbol
    sha256: str
    reason: Problem
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionUpdated(_Event):
    """A newer prediction is in KV `evertrain_predictions`. From a predictor."""

    type: Literal["prediction.updated"] = "prediction.updated"
    symbol: Symbol
    model_version: str
    candle_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class CandlesUpdated(_Event):
    """New candles are in the store; the newest is repeated here. From the scheduler."""

    type: Literal["candles.updated"] = "candles.updated"
    symbol: Symbol
    timeframe: Timeframe
    added: int
    candle_at: Instant
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRolledBack(_Event):
    """An earlier model is live again. From the trainer that was asked."""

    type: Literal["model.rolled_back"] = "model.rolled_back"
    symbol: Symbol
    model_version: str
    previous_version: str
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalOpened(_Event):
    """A prediction passed every filter. From a predictor."""

    type: Literal["signal.opened"] = "signal.opened"
    symbol: Symbol
    signal: Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalClosed(_Event):
    """A signal reached its take-profit or its stop-loss. From a predictor."""

    type: Literal["signal.closed"] = "signal.closed"
    symbol: Symbol
    signal: Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalExpired(_Event):
    """A signal ended with its time, or was never entered. From a predictor."""

    type: Literal["signal.expired"] = "signal.expired"
    symbol: Symbol
    signal: Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRejected(_Event):
    """A prediction did not pass a filter. From a predictor; kept for 30 days."""

    type: Literal["signal.rejected"] = "signal.rejected"
    symbol: Symbol
    rejection: Rejection


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftDetected(_Event):
    """The market of a symbol is not what its live model has learned. From a scheduler."""

    type: Literal["drift.detected"] = "drift.detected"
    symbol: Symbol
    model_version: str | None
    note: str
    training_run_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused(_Event):
    """A message was parked in EVERTRAIN_DEAD because it can never be handled."""

    type: Literal["request.refused"] = "request.refused"
    subject: str
    error: Problem


Event = (
    RunRequested
    | RunStarted
    | RunProgressed
    | RunCompleted
    | RunFailed
    | RunSkipped
    | JobStarted
    | JobProgressed
    | JobCompleted
    | JobFailed
    | JobSkipped
    | ModelPromoted
    | ModelRefused
    | PredictionUpdated
    | CandlesUpdated
    | ModelRolledBack
    | SignalOpened
    | SignalClosed
    | SignalExpired
    | SignalRejected
    | DriftDetected
    | RequestRefused
)

#: The class of each `type`.
EVENT_TYPES: dict[str, type[Event]] = {
    next(str(f.default) for f in fields(cls) if f.name == "type"): cls for cls in get_args(Event)
}
