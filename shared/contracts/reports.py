"""What a running process says about itself when it is asked, and what that adds up to."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.contracts.records import Coverage, CurrentRun, LockHolder, Problem
from shared.contracts.symbols import Symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReport:
    """One process. Published by every service in answer to `evertrain.survey`.

    `ready` says whether it can do its work; `problems` says why not, or what should be mended.
    `memory_mb` is its own resident set, `children_mb` that of its children. `watched` are the
    symbols that its clients listen to.
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
    watched: tuple[Symbol, ...] = ()


class Level(StrEnum):
    """How well the whole is doing."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that somebody should know: a stable code, and a sentence that says what to do."""

    level: Level
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`level` is that of the worst finding; the worst come first."""

    level: Level
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One process, as it was when it last answered. `up`: it answered lately."""

    service: str
    instance: str
    version: str
    up: bool
    ready: bool
    since: datetime
    last_heartbeat: datetime
    memory_mb: float
    children_mb: float
    loop_lag_ms: float
    problems: tuple[Problem, ...]
    figures: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsStatus:
    """`round_trip_ms` is None where no answer came."""

    connected: bool
    round_trip_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuStatus:
    """Of the whole machine, training included."""

    used_pct: float
    cores: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Memory of the machine, or the disk that holds the data directory."""

    used_pct: float
    free_mb: float
    total_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperStatus:
    """What is traded on paper, of all time: see `ProfitReport`."""

    open_signals: int
    trades: int
    win_rate: float | None
    realised_cents: int
    unrealised_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStatus:
    """Everything at one glance: `GET /system/status` and `evertrain monitor`.

    What NATS or a service did not answer in time is None, or missing from `queues`.
    """

    at: datetime
    version: str
    services: tuple[ServiceStatus, ...]
    nats: NatsStatus
    cpu: CpuStatus
    memory: Usage
    disk: Usage
    cache: dict[str, float] | None
    queues: dict[str, int]
    lock: LockHolder | None
    current_run: CurrentRun | None
    coverage: Coverage | None
    paper: PaperStatus | None = None
    health: Health
