"""A gateway as its users start it, and a small market for it to show."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.bus.rpc import Endpoint, serve
from shared.contracts import codec, subjects
from shared.contracts.errors import NotFound
from shared.contracts.events import CandlesUpdated, RunProgressed, RunStarted
from shared.contracts.quality import DriftFinding, DriftReport
from shared.contracts.records import (
    CandleSummary,
    Coverage,
    Forecast,
    JobRecord,
    ModelRecord,
    Prediction,
    RunRecord,
    Score,
    TrainingStatus,
    Universe,
)
from shared.contracts.requests import (
    CandlesRequest,
    DriftReportRequest,
    ExposureRequest,
    JobsRequest,
    ProfitRequest,
    RejectionsRequest,
    RunsRequest,
    SignalsRequest,
    TrainingStatusRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import LEARNERS, Direction, Mode, Source, Timeframe
from shared.contracts.trading import ExposureReport, ProfitReport, Rejection, Signal
from shared.market.candles import Candle
from shared.market.store import CandleStore
from shared.runtime.clock import from_ms
from tests.support.trading import EXPOSURE, PROFIT

HORIZONS = (1, 7, 30)
SYMBOLS = tuple(map(Symbol, ("BTC/USDT", "ETH/USDT", "THYAO.IS", "BRK-B")))
UNIVERSE = Universe(symbols=SYMBOLS, timeframe=Timeframe.M15, horizons=HORIZONS)
_READY_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running process."""

    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"


def start_gateway(data_dir: Path, nats_url: str, **settings: str) -> Gateway:
    """Start one and return at once."""
    port = int(settings.pop("GATEWAY_PORT", "0")) or free_port()
    environment = {
        **os.environ,
        "DATA_DIR": str(data_dir),
        "NATS_URL": nats_url,
        "GATEWAY_PORT": str(port),
        **settings,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "services.gateway"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Gateway(port=port, process=process)


@asynccontextmanager
async def gateway_on(data_dir: Path, nats_url: str, **settings: str) -> AsyncIterator[Gateway]:
    """A gateway that is ready; it is killed at the end, whatever the test did to it."""
    gateway = start_gateway(data_dir, nats_url, **settings)
    try:
        await asyncio.to_thread(wait_until_ready, gateway)
        yield gateway
    finally:
        gateway.process.kill()
        await asyncio.to_thread(gateway.process.wait)
        if gateway.process.stdout is not None:
            gateway.process.stdout.close()


def prediction(
    symbol: Symbol,
    *,
    at: datetime,
    version: str = "v1",
    confidence: float = 0.62,
    lives: timedelta = timedelta(hours=1),
) -> Prediction:
    """Forecasts of a rise that grows with the horizon."""
    return Prediction(
        symbol=symbol,
        timeframe=UNIVERSE.timeframe,
        predictions=tuple(_forecast(horizon, confidence) for horizon in HORIZONS),
        model_version=version,
        candle_at=at,
        generated_at=at,
        expires_at=at + lives,
    )


def model(symbol: Symbol, *, at: datetime, version: str = "v1") -> ModelRecord:
    return ModelRecord(
        symbol=symbol,
        version=version,
        sha256="ab" * 32,
        size=123_456,
        created_at=at,
        timeframe=UNIVERSE.timeframe,
        horizons=HORIZONS,
        mode=Mode.FULL,
        run_id="run-1",
        token=7,
        epoch="e",
        candle_at=at,
        rows=2000,
        scores=tuple(
            _score(horizon, learner) for horizon in HORIZONS for learner in (*LEARNERS, "ensemble")
        ),
        libraries={},
    )


class Market:
    """Writes what the other services would write."""

    def __init__(self, connection: Connection) -> None:
        self._candles = CandleStore(Bucket(connection, subjects.CANDLES))
        self._config = Bucket(connection, subjects.CONFIG)
        self._models = Bucket(connection, subjects.MODELS)
        self._predictions = Bucket(connection, subjects.PREDICTIONS)
        self._signals = Bucket(connection, subjects.SIGNALS)
        self.publisher = Publisher(connection)

    async def open(self, *, candles: int = 120) -> None:
        """The universe, and for each symbol candles up to now, a model and a prediction."""
        await self._config.put(subjects.UNIVERSE, codec.encode(UNIVERSE))
        now = datetime.now(UTC)
        step = UNIVERSE.timeframe.ms
        last = int(now.timestamp() * 1000) // step * step - step
        for number, symbol in enumerate(SYMBOLS):
            rows = [_candle(last - step * back, number, back) for back in range(candles, -1, -1)]
            await self._candles.append(symbol, UNIVERSE.timeframe, rows)
            await self.promote(model(symbol, at=now))
            await self.predict(prediction(symbol, at=from_ms(last)))

    async def promote(self, record: ModelRecord) -> None:
        await self._models.put(record.symbol.token, codec.encode(record))

    async def predict(self, made: Prediction) -> None:
        await self._predictions.put(made.symbol.token, codec.encode(made))

    async def open_signal(self, signal: Signal) -> None:
        await self._signals.put(subjects.open_signal(signal.symbol), codec.encode(signal))

    async def trade(self, symbol: Symbol, candle: Candle) -> None:
        """One more candle, and word of it."""
        appended = await self._candles.append(symbol, UNIVERSE.timeframe, [candle])
        await self.publisher.emit(
            CandlesUpdated(
                id=f"candles:{symbol}:{candle.at_ms}",
                at=datetime.now(UTC),
                symbol=symbol,
                timeframe=UNIVERSE.timeframe,
                added=appended.added,
                candle_at=from_ms(candle.at_ms),
                open=candle.open,
                high=candle.high,
                low=candle.low,
                close=candle.close,
                volume=candle.volume,
            )
        )

    async def start_run(self, run_id: str) -> None:
        await self.publisher.emit(
            RunStarted(
                id=f"{run_id}:started",
                at=datetime.now(UTC),
                run_id=run_id,
                mode=Mode.FULL,
                source=Source.API,
                total=100,
                batches=4,
                holder="trainer-1",
            )
        )

    async def progress(self, run_id: str, done: int) -> None:
        await self.publisher.emit(
            RunProgressed(
                id=f"{run_id}:{done}",
                at=datetime.now(UTC),
                run_id=run_id,
                mode=Mode.FULL,
                source=Source.API,
                total=100,
                done=done,
                failed=0,
                skipped=0,
                batch=1 + done // 25,
                batches=4,
                progress_pct=float(done),
                eta_s=100.0 - done,
            )
        )


@asynccontextmanager
async def scheduler_on(
    connection: Connection, runs: tuple[RunRecord, ...] = ()
) -> AsyncIterator[None]:
    """Answers what a gateway asks the scheduler, for as long as the body runs."""

    async def find(request: RunsRequest) -> list[RunRecord]:
        found = [run for run in runs if request.run_id in (None, run.run_id)]
        if request.run_id is not None and not found:
            raise NotFound(f"there is no run {request.run_id}")
        return found[: request.limit]

    async def jobs(request: JobsRequest) -> list[JobRecord]:
        return []

    async def candles(request: CandlesRequest) -> list[CandleSummary]:
        return []

    async def status(request: TrainingStatusRequest) -> TrainingStatus:
        return TrainingStatus(
            enabled=True,
            next_run_at=None,
            last_run=None,
            current_run=None,
            lock=None,
            coverage=Coverage(symbols=4, fresh=4, stale=0, missing=0, oldest_age_days=0.0),
            success_rate=None,
        )

    async def drift(request: DriftReportRequest) -> DriftReport:
        finding = DriftFinding(
            symbol=SYMBOLS[0],
            model_version="v1",
            drifted=True,
            feature_p_value=0.00001,
            outcome_p_value=None,
            features=(),
            note="its features have moved",
        )
        return DriftReport(
            id="drift-1",
            at=datetime.now(UTC),
            symbols=4,
            drifted=1,
            false_alarms=0.05,
            findings=(finding,),
        )

    endpoints = (
        Endpoint(name="drift", request=DriftReportRequest, handler=drift),
        Endpoint(name="runs", request=RunsRequest, handler=find),
        Endpoint(name="jobs", request=JobsRequest, handler=jobs),
        Endpoint(name="candles", request=CandlesRequest, handler=candles),
        Endpoint(name="status", request=TrainingStatusRequest, handler=status),
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(connection, "scheduler", "1.0.0", endpoints, stop))
        yield
        stop.set()


@asynccontextmanager
async def predictor_on(
    connection: Connection, signals: tuple[Signal, ...] = (), rejected: tuple[Rejection, ...] = ()
) -> AsyncIterator[None]:
    """Answers what a gateway asks the predictor about trading, for as long as the body runs."""

    async def find(request: SignalsRequest) -> list[Signal]:
        return [signal for signal in signals if request.id in (None, signal.id)]

    async def reject(request: RejectionsRequest) -> list[Rejection]:
        return list(rejected)

    async def profit(request: ProfitRequest) -> ProfitReport:
        return PROFIT

    async def exposure(request: ExposureRequest) -> ExposureReport:
        return EXPOSURE

    endpoints = (
        Endpoint(name="signals", request=SignalsRequest, handler=find),
        Endpoint(name="rejected", request=RejectionsRequest, handler=reject),
        Endpoint(name="pnl", request=ProfitRequest, handler=profit),
        Endpoint(name="exposure", request=ExposureRequest, handler=exposure),
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(connection, "predictor", "1.0.0", endpoints, stop))
        yield
        stop.set()


def _score(horizon: int, learner: str) -> Score:
    return Score(
        horizon=horizon,
        learner=learner,
        roc_auc=0.55,
        roc_auc_interval=(0.5, 0.6),
        roc_auc_null=0.5,
        roc_auc_null_high=0.54,
        log_loss=0.68,
        brier=0.24,
        calibration_error=0.02,
        accuracy=0.54,
        base_rate=0.51,
        up_share=0.51,
        rows=400,
        effective_rows=57.0,
    )


def _forecast(horizon: int, confidence: float) -> Forecast:
    return Forecast(
        horizon=horizon,
        p_up=confidence,
        direction=Direction.UP,
        confidence=confidence,
        expected_return_pct=horizon / 10,
        interval_pct=(-horizon / 10, horizon / 5),
        by_learner=dict.fromkeys(LEARNERS, confidence),
    )


def _candle(at_ms: int, number: int, back: int) -> Candle:
    """A price that swings slowly, without chance: every test sees the same."""
    middle = 100 * (number + 1) + (back * 7 % 23) / 4
    return Candle(at_ms, middle, middle + 1.5, middle - 1.25, middle + (back % 5 - 2) / 2, 10.0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until_ready(gateway: Gateway) -> None:
    """Raises TimeoutError, with what the process said, if it does not become ready."""
    patience = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < patience and gateway.process.poll() is None:
        try:
            with urllib.request.urlopen(f"{gateway.url}/readyz", timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    gateway.process.kill()
    raise TimeoutError(f"the gateway is not ready: {gateway.process.communicate()[0]}")
