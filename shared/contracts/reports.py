"""What a running process says about itself when it is asked."""

from dataclasses import dataclass
from datetime import datetime

from shared.contracts.records import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReport:
    """One process. Published by every service in answer to `evertrain.survey`.

    `ready` says whether it can do its work; `problems` says why not, or what should be mended.
    `memory_mb` is its own resident set, `children_mb` that of its children.
    """

    service: str
    instance: str
    version: str
    pid: int
    host: str
    started_at: datetime
    at: datetime
    ready: bool
    memory_mb: float
    children_mb: float
    loop_lag_ms: float
    problems: tuple[Problem, ...] = ()
    figures: dict[str, float] | None = None
