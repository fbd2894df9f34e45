"""What goes into a training child and what comes out. No numpy here: the parent reads this too."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.contracts.records import Score, TrainingPlan
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Horizon, Mode, Timeframe

#: Told the stage that begins, and how much of the job is done, from 0 to 1.
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """One symbol to train. `mode` says how; the plan says on how much."""

    symbol: Symbol
    timeframe: Timeframe
    horizons: tuple[Horizon, ...]
    mode: Mode
    plan: TrainingPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """A sound model, and how it did on candles it had not seen.

    `rows` are the labelled rows it was fitted on; `candle_at_ms` is the open time of the newest
    candle it was given. `dropped` are horizons asked for that the history is too short for.
    """

    artifact: bytes
    horizons: tuple[Horizon, ...]
    dropped: tuple[Horizon, ...]
    scores: tuple[Score, ...]
    rows: int
    candle_at_ms: int
    libraries: dict[str, str]
