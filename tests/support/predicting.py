"""What a predictor needs of the world, as small as it can be made."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.predictor.domain.desks import Desks
from services.predictor.domain.reading import Reading
from services.predictor.handlers.cache import Cache
from services.predictor.handlers.forecaster import Forecaster
from services.predictor.handlers.predictor import Predictor
from services.predictor.handlers.pregeneration import Pregenerator
from shared.contracts.errors import AppError
from shared.contracts.events import CandlesUpdated
from shared.contracts.records import Forecast, ModelRecord, Prediction, Problem, Universe
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Direction, Mode, Timeframe
from shared.market.candles import Candle, pack
from shared.runtime.clock import to_ms
from shared.runtime.tasks import alongside

BTC, ETH = Symbol("BTC/USDT"), Symbol("ETH/USDT")
START = datetime(2026, 1, 5, tzinfo=UTC)
TTL = timedelta(hours=1)
#: How long a fake model takes to load, and to forecast.
STEP_S = 0.01


def forecast(horizon: int = 1, *, p_up: float = 0.6, expected: float = 0.4) -> Forecast:
    return Forecast(
        horizon=horizon,
        p_up=p_up,
        direction=Direction.UP if p_up >= 0.5 else Direction.DOWN,
        confidence=max(p_up, 1.0 - p_up),
        expected_return_pct=expected,
        interval_pct=(-1.0, 1.0),
        by_learner={"basic": p_up},
    )


def prediction(
    symbol: Symbol = BTC,
    *forecasts: Forecast,
    version: str = "v1",
    candle_at: datetime = START,
    generated_at: datetime = START,
    ttl: timedelta = TTL,
) -> Prediction:
    return Prediction(
        symbol=symbol,
        timeframe=Timeframe.M15,
        predictions=forecasts or (forecast(),),
        model_version=version,
        candle_at=candle_at,
        generated_at=generated_at,
        expires_at=generated_at + ttl,
    )


def record(
    version: str = "v1",
    *,
    symbol: Symbol = BTC,
    sha256: str = "",
    timeframe: Timeframe = Timeframe.M15,
    horizons: tuple[int, ...] = (1, 3),
) -> ModelRecord:
    return ModelRecord(
        symbol=symbol,
        version=version,
        sha256=sha256 or f"sha of {version}",
        size=1000,
        created_at=START,
        timeframe=timeframe,
        horizons=horizons,
        mode=Mode.FULL,
        run_id="run-1",
        token=1,
        epoch="epoch",
        candle_at=START,
        rows=1000,
        scores=(),
        libraries={},
    )


def universe(*symbols: Symbol) -> Universe:
    return Universe(symbols=symbols, timeframe=Timeframe.M15, horizons=(1, 3))


def candles_updated(
    candle_at: datetime, *, symbol: Symbol = BTC, timeframe: Timeframe = Timeframe.M15
) -> CandlesUpdated:
    return CandlesUpdated(
        id=f"candles.updated:{symbol}:{to_ms(candle_at)}",
        at=candle_at,
        symbol=symbol,
        timeframe=timeframe,
        added=1,
        candle_at=candle_at,
        open=1.0,
        high=1.0,
        low=1.0,
        close=1.0,
        volume=1.0,
    )


class FakeModel:
    def __init__(self, horizons: tuple[int, ...]) -> None:
        self._horizons = horizons

    async def read(self, candles: bytes) -> Reading:
        await asyncio.sleep(STEP_S)
        forecasts = tuple(forecast(horizon) for horizon in self._horizons)
        return Reading(forecasts=forecasts, close=100.0, atr_pct=1.0)


@dataclass(kw_only=True)
class FakeModels:
    """`refused` are versions that cannot be loaded. `loads` are the versions asked for."""

    refused: dict[str, AppError] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)

    @property
    def loaded(self) -> int:
        return len(set(self.loads) - set(self.refused))

    async def load(self, record: ModelRecord) -> FakeModel:
        self.loads.append(record.version)
        await asyncio.sleep(STEP_S)
        if record.version in self.refused:
            raise self.refused[record.version]
        return FakeModel(record.horizons)


@dataclass(kw_only=True)
class FakeCandles:
    """One row, opened at `newest`, which takes `delay_s` longer than usual to come; `broken` is
    raised instead. `reads` are the symbols asked for.
    """

    newest: datetime = START
    broken: AppError | None = None
    delay_s: float = 0.0
    reads: list[Symbol] = field(default_factory=list)

    async def tail(self, symbol: Symbol, timeframe: Timeframe, rows: int) -> bytes:
        self.reads.append(symbol)
        newest = self.newest
        await asyncio.sleep(STEP_S + self.delay_s)
        if self.broken:
            raise self.broken
        return pack([Candle(to_ms(newest), 1.0, 1.0, 1.0, 1.0, 1.0)])


@dataclass(kw_only=True)
class FakePredictions:
    """`broken` is raised instead of telling. What another predictor told is in `known`."""

    told: list[Prediction] = field(default_factory=list)
    known: dict[Symbol, Prediction] = field(default_factory=dict)
    broken: AppError | None = None

    async def publish(self, prediction: Prediction) -> Prediction:
        await asyncio.sleep(STEP_S)
        if self.broken:
            raise self.broken
        self.told.append(prediction)
        return self.known.get(prediction.symbol, prediction)

    async def remove(self, symbols: Collection[Symbol] | None) -> set[Symbol]:
        gone = {told.symbol for told in self.told if symbols is None or told.symbol in symbols}
        self.told = [told for told in self.told if told.symbol not in gone]
        return gone


@dataclass(kw_only=True)
class FakeDisk:
    """The newest prediction of each symbol, whatever its model."""

    kept: dict[Symbol, Prediction] = field(default_factory=dict)
    problem: Problem | None = None

    async def find(self, record: ModelRecord, now: datetime) -> Prediction | None:
        found = self.kept.get(record.symbol)
        if found and found.model_version == record.version and found.expires_at > now:
            return found
        return None

    async def keep(self, prediction: Prediction) -> None:
        self.kept[prediction.symbol] = prediction

    async def forget(self, symbols: Collection[Symbol]) -> None:
        for symbol in symbols:
            self.kept.pop(symbol, None)

    async def size(self) -> tuple[int, int]:
        return len(self.kept), 4096


@dataclass(kw_only=True)
class Room:
    """A predictor among fakes. Its clock is the loop's, from START on."""

    desks: Desks
    predictor: Predictor
    pregenerator: Pregenerator
    cache: Cache
    models: FakeModels
    candles: FakeCandles
    predictions: FakePredictions
    disk: FakeDisk


@asynccontextmanager
async def running_predictor(
    *, caching: bool = True, disk: FakeDisk | None = None
) -> AsyncIterator[Room]:
    desks, models, candles, predictions = Desks(), FakeModels(), FakeCandles(), FakePredictions()
    forecaster, disk = Forecaster(models, candles, ttl=TTL), disk or FakeDisk()
    loop = asyncio.get_running_loop()

    def clock() -> datetime:
        return START + timedelta(seconds=loop.time())

    predictor = Predictor(desks, forecaster, predictions, disk, clock=clock, caching=caching)
    pregenerator = Pregenerator(desks, predictor, usual_ttl=TTL, clock=clock)
    cache = Cache(
        desks,
        predictor,
        pregenerator,
        predictions,
        disk,
        instance="predictor-1",
        enabled=caching,
        ttl=TTL,
        clock=clock,
    )
    async with alongside(predictor.run(), name="predictor"):
        yield Room(
            desks=desks,
            predictor=predictor,
            pregenerator=pregenerator,
            cache=cache,
            models=models,
            candles=candles,
            predictions=predictions,
            disk=disk,
        )
