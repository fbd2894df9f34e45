"""The names of everything on the bus. Nothing else builds a subject, a key or a stream name."""

from datetime import datetime
from typing import Final

from shared.contracts.events import Event
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode

REQUESTS: Final = "EVERTRAIN_REQUESTS"
JOBS: Final = "EVERTRAIN_JOBS"
EVENTS: Final = "EVERTRAIN_EVENTS"
DEAD: Final = "EVERTRAIN_DEAD"
CLOCK: Final = "EVERTRAIN_CLOCK"
REJECTIONS: Final = "EVERTRAIN_REJECTIONS"

LOCKS: Final = "evertrain_locks"
MODELS: Final = "evertrain_models"
CANDLES: Final = "evertrain_candles"
PREDICTIONS: Final = "evertrain_predictions"
CONFIG: Final = "evertrain_config"
TICKS: Final = "evertrain_ticks"
RUNS: Final = "evertrain_runs"
PARAMETERS: Final = "evertrain_parameters"
SIGNALS: Final = "evertrain_signals"
QUALITY: Final = "evertrain_quality"
MARKS: Final = "evertrain_marks"
ARTIFACTS: Final = "evertrain_artifacts"

#: Keys.
TRAINING_LOCK: Final = "training"
UNIVERSE: Final = "universe"
CONFIGURATION: Final = "training"
DRIFT: Final = "drift"
OPEN_SIGNALS: Final = "open.*"

#: The name of the tick that predictors take. All others are the schedulers'.
SIGNAL_TICK: Final = "signals"

ALL_EVENTS: Final = "evertrain.event.>"
RUN_COMPLETED: Final = "evertrain.event.run.completed"
CANDLES_UPDATED: Final = "evertrain.event.candles.updated.*"
SIGNALS_REJECTED: Final = "evertrain.event.signal.rejected.*"


def train(mode: Mode) -> str:
    return f"evertrain.train.{mode}"


#: The subjects of requests, and what mode each of them asks for.
TRAINING: Final = {train(mode): mode for mode in Mode}


def job(symbol: Symbol) -> str:
    return f"evertrain.job.{symbol.token}"


def event(fact: Event) -> str:
    """`evertrain.event.<type>`, and the symbol's token where the event is about one."""
    symbol: Symbol | None = getattr(fact, "symbol", None)
    return f"evertrain.event.{fact.type}" + (f".{symbol.token}" if symbol else "")


def dead(stream: str) -> str:
    """Where what could not be handled is parked, by the stream it came from."""
    return f"evertrain.dead.{stream}"


def schedule(name: str) -> str:
    return f"evertrain.schedule.{name}"


def tick(name: str) -> str:
    return f"evertrain.tick.{name}"


def tick_key(schedule: str, due: datetime) -> str:
    return f"tick.{schedule}.{due:%Y%m%dT%H%M%SZ}"


def run_key(run_id: str) -> str:
    return f"run.{run_id}"


def job_key(run_id: str, symbol: Symbol) -> str:
    return f"job.{run_id}.{symbol.token}"


def symbol_lock(symbol: Symbol) -> str:
    return f"symbol.{symbol.token}"


def open_signal(symbol: Symbol) -> str:
    return f"open.{symbol.token}"


def closed_signal(signal_id: str) -> str:
    return f"closed.{signal_id}"


def closed_signals(symbol: Symbol) -> str:
    """Those of one symbol: the id of a signal begins with its token."""
    return closed_signal(f"{symbol.token}.*")


def served(symbol: Symbol) -> str:
    return f"served.{symbol.token}"
