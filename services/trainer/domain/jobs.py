"""What goes into a training child and what comes out. No numpy here: the parent reads this too."""

from collections.abc import Callable
from dataclasses import dataclass, field

from services.trainer.domain.slopes import Slopes
from shared.contracts.records import Score, TrainingPlan, Verdict
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon, Mode, Timeframe
from shared.contracts.trading import ParameterSearch, SignalParameters

#: Told the stage that begins, and how much of the job is done, from 0 to 1.
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """One symbol to train. `mode` says how, the plan on how much; `live` is the version of the
    model that the new one would replace, and `updates` how many updates of its base led to that.
    `slopes` are what the models of other symbols lead to expect of its calibration, and
    `parameters` what its signals follow now.
    """

    symbol: Symbol
    timeframe: Timeframe
    horizons: tuple[Horizon, ...]
    mode: Mode
    plan: TrainingPlan
    live: str | None = None
    updates: int = 0
    slopes: Slopes = field(default_factory=dict)
    parameters: SignalParameters = field(default_factory=SignalParameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftJob:
    """One symbol whose market is to be held against what its live model has learned: `rows` of it,
    up to `longest_horizon` before the candle at `candle_at_ms`. For an update, these are its full
    model's, and are read in that model's file.
    """

    symbol: Symbol
    model_version: str
    rows: int
    candle_at_ms: int
    longest_horizon: Horizon


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The bytes that a job is given: packed candles, the artifact of the live model, and, for an
    update, the file of the full model that it starts from (see `natives`). Empty is what there is
    not, or what cannot be read.
    """

    candles: bytes
    rival: bytes = b""
    base: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """A sound model, and how it did on candles it had not seen.

    `rows` are the labelled rows it was fitted on; `candle_at_ms` is the open time of the newest
    candle it was given. `dropped` are horizons asked for that the history is too short for.
    `verdict` is None where there is no live model.

    `mode` is what was done: an update that had no base to start from is a full training, and `note`
    says why. It also says for which splits the candles were adjusted. `native` is the file of a
    full model, for its updates to start from. An update that has fallen behind has `needs_full`,
    and `note` says by how much. `search` is what a full training found out about the parameters of
    signals.
    """

    artifact: bytes
    mode: Mode
    horizons: tuple[Horizon, ...]
    dropped: tuple[Horizon, ...]
    scores: tuple[Score, ...]
    rows: int
    candle_at_ms: int
    libraries: dict[str, str]
    verdict: Verdict | None = None
    native: bytes = b""
    needs_full: bool = False
    note: str | None = None
    search: ParameterSearch | None = None
