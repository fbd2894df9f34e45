from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from services.trainer.domain.jobs import DriftJob, Inputs
from services.trainer.drift import DriftGauge
from shared.contracts.errors import NotReady
from shared.contracts.quality import DriftMeasurement
from shared.contracts.records import ModelRecord
from shared.contracts.requests import MeasureDriftRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Timeframe
from shared.runtime.clock import to_ms
from tests.support.predicting import BTC, record

TRAINED = datetime(2026, 11, 1, tzinfo=UTC)
NOW = TRAINED + timedelta(days=5)
FULL = replace(
    record("v7", horizons=(1, 30)), mode=Mode.FULL, rows=2000, candle_at=TRAINED, created_at=TRAINED
)
UPDATE = replace(FULL, mode=Mode.INCREMENTAL, native_sha256="base", base_at=TRAINED, candle_at=NOW)


@dataclass
class System:
    """The registry, the candles and the pool, and what was asked of them."""

    live: ModelRecord | None
    files: dict[str, bytes] = field(default_factory=dict)
    rows: int = 0
    job: DriftJob | None = None
    inputs: Inputs | None = None

    async def live_model(self, symbol: Symbol) -> ModelRecord | None:
        return self.live

    async def fetch(self, sha256: str) -> bytes:
        return self.files.get(sha256, b"")

    async def tail(self, symbol: Symbol, timeframe: Timeframe, rows: int) -> bytes:
        self.rows = rows
        return b"candles"

    async def measure(
        self, job: DriftJob, inputs: Inputs, *, deadline_s: float
    ) -> DriftMeasurement:
        self.job, self.inputs = job, inputs
        return DriftMeasurement(
            symbol=job.symbol,
            model_version=job.model_version,
            reference_rows=job.rows,
            recent_rows=100,
            p_value=0.5,
            features=(),
        )

    async def look(self) -> DriftMeasurement:
        gauge = DriftGauge(registry=self, candles=self, pool=self, clock=lambda: NOW)
        return await gauge.measure(MeasureDriftRequest(symbol=BTC))


async def test_a_full_model_is_held_against_what_it_was_trained_on() -> None:
    system = System(FULL)
    assert (await system.look()).model_version == "v7"
    assert system.job == DriftJob(
        symbol=BTC,
        model_version="v7",
        rows=2000,
        candle_at_ms=to_ms(TRAINED),
        longest_horizon=30,
    )
    assert system.inputs == Inputs(candles=b"candles")


async def test_what_it_learned_what_came_since_and_a_warm_up_are_read() -> None:
    system = System(FULL)
    await system.look()
    assert system.rows == 2000 + 5 * 96 + 30 + 120


async def test_an_update_goes_back_to_what_its_full_model_was_trained_on() -> None:
    system = System(UPDATE, {"base": b"full model"})
    await system.look()
    assert system.inputs == Inputs(candles=b"candles", base=b"full model")
    assert system.rows > 6 * 30 * 96


async def test_an_update_whose_full_model_is_lost_has_nothing_to_be_held_against() -> None:
    with pytest.raises(NotReady, match="the full model behind v7 is lost: train it again"):
        await System(UPDATE).look()


async def test_without_a_model_there_is_no_drift_to_speak_of() -> None:
    with pytest.raises(NotReady, match="train it first"):
        await System(None).look()
