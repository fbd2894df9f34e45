"""What may be asked over NATS: work to be done, and questions with an answer.

Unknown fields are ignored; a field with a default may be left out, so `{}` and an empty payload
are valid wherever every field has one.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from shared.contracts.configuration import Door
from shared.contracts.instants import Instant
from shared.contracts.records import TrainingPlan
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon, Mode, Source, Status, Timeframe
from shared.contracts.trading import FilterName, SignalStatus

RunId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")]
Limit = Annotated[int, Meta(ge=1, le=1000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """`evertrain.train.<mode>`: train these symbols, or whatever the mode makes due.

    `request_id` becomes the run's id; without it the id is made of the message's place in the
    stream, so that a redelivery is the same run.
    """

    symbols: tuple[Symbol, ...] | None = None
    batch_size: Annotated[int, Meta(ge=1, le=1000)] | None = None
    source: Source = Source.MANUAL
    request_id: RunId | None = None

    def run_id(self, mode: Mode, place: str) -> str:
        """`place` names the message's place in its stream."""
        return self.request_id or f"{mode}-{place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """`evertrain.job.<symbol>`: one symbol of a run, for any worker."""

    run_id: RunId
    symbol: Symbol
    mode: Mode
    source: Source
    timeframe: Timeframe
    horizons: tuple[Horizon, ...]
    plan: TrainingPlan
    created_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """`evertrain.scheduler.plan`: which symbols does this mode make due now?"""

    mode: Mode
    symbols: tuple[Symbol, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """One symbol that is due, and how much of it: a cycle mixes full and incremental jobs."""

    symbol: Symbol
    mode: Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictRequest:
    """`evertrain.predictor.get`"""

    symbol: Symbol
    horizon: Horizon | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopRequest:
    """`evertrain.predictor.top`"""

    n: Limit = 20
    horizon: Horizon | None = None
    sort: Literal["confidence", "expected_return"] = "confidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class PregenerateRequest:
    """`evertrain.predictor.pregenerate`: make the predictions of these symbols, or of all, anew.

    They expire after `ttl_hours`, or as usual; those that a newer model or candle asks for
    meanwhile expire as usual.
    """

    symbols: tuple[Symbol, ...] | None = None
    ttl_hours: Annotated[float, Meta(gt=0, le=168)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsRequest:
    """`evertrain.scheduler.jobs`: newest first; `before` is the cursor of the page before."""

    symbol: Symbol | None = None
    status: Status | None = None
    run_id: RunId | None = None
    limit: Limit = 100
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsRequest:
    """`evertrain.scheduler.runs`: newest first; with `run_id`, that run alone."""

    run_id: RunId | None = None
    limit: Limit = 100
    before: str | None = None
    mode: Mode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequest:
    """`evertrain.scheduler.cancel`: end this run, or the one in progress and all that wait."""

    run_id: RunId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandlesRequest:
    """`evertrain.scheduler.candles`: the summaries of every series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStatusRequest:
    """`evertrain.scheduler.status`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """`evertrain.scheduler.start`: let the automation run, over `symbols` or all there are.

    It begins with a run at once: a quick one over all of them with `quick_start`, else a cycle over
    what is due. `request_id` becomes that run's id, and the same one is carried out once.
    """

    symbols: tuple[Symbol, ...] | None = None
    timeframe: Timeframe | None = None
    quick_start: bool = False
    request_id: RunId | None = None
    by: Door = "nats"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequest:
    """`evertrain.scheduler.stop`: let the automation rest, and cancel what runs or waits.

    The same `request_id` is carried out once: a late repeat does not stop what was started since.
    """

    request_id: RunId | None = None
    by: Door = "nats"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationRequest:
    """`evertrain.scheduler.config`: the configuration in force, and its history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigureRequest:
    """`evertrain.scheduler.configure`: change these settings; the others keep their values.

    With `revision`, only if that is still the one in force.
    """

    changes: dict[str, Any]
    revision: int | None = None
    by: Door = "nats"


@dataclass(frozen=True, slots=True, kw_only=True)
class UniverseRequest:
    """`evertrain.scheduler.universe`: what is trained and predicted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseSymbolsRequest:
    """`evertrain.scheduler.choose`: these symbols, or those there are, with some more or less.

    With `revision`, only if that is still the one in force.
    """

    symbols: tuple[Symbol, ...] | None = None
    add: tuple[Symbol, ...] = ()
    remove: tuple[Symbol, ...] = ()
    revision: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRequest:
    """`evertrain.predictor.cache`: what is cached, and how well that serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearCacheRequest:
    """`evertrain.predictor.clear`: forget what is cached of these symbols, or of all."""

    symbols: tuple[Symbol, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalsRequest:
    """`evertrain.predictor.signals`: newest first; with `id`, that one alone."""

    id: str | None = None
    symbol: Symbol | None = None
    status: SignalStatus | None = None
    limit: Limit = 100
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionsRequest:
    """`evertrain.predictor.rejected`: those of the last hours, newest first."""

    hours: Annotated[float, Meta(gt=0, le=720)] = 24.0
    symbol: Symbol | None = None
    reason: FilterName | None = None
    limit: Limit = 100
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfitRequest:
    """`evertrain.predictor.pnl`"""

    days: Annotated[int, Meta(ge=1, le=3650)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureRequest:
    """`evertrain.predictor.exposure`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackRequest:
    """`evertrain.trainer.rollback`: let an earlier model of the symbol live again, the last one
    before the live one or the named one. The same `request_id` is carried out once.
    """

    symbol: Symbol
    version: str | None = None
    request_id: RunId | None = None
    by: Door = "nats"


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupRequest:
    """`evertrain.trainer.cleanup`: delete artifacts that nothing needs any more."""

    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureDriftRequest:
    """`evertrain.trainer.drift`: how far the candles of one symbol are from those that its live
    model was trained on.
    """

    symbol: Symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDriftRequest:
    """`evertrain.scheduler.check_drift`: look for drift in these symbols, or in all, now."""

    symbols: tuple[Symbol, ...] | None = None
    request_id: RunId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReportRequest:
    """`evertrain.scheduler.drift`: what the newest check found."""
