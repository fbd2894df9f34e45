"""The prediction cache: predictions made in advance, and what readers notice of that."""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import uvloop

from shared.bus import rpc, topology
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.embedded import embedded_server
from shared.bus.kv import Bucket
from shared.bus.objects import Artifacts
from shared.contracts import codec, subjects
from shared.contracts.errors import Unavailable
from shared.contracts.records import CacheReport, Prediction, Pregenerated
from shared.contracts.requests import (
    CacheRequest,
    ClearCacheRequest,
    PredictRequest,
    PregenerateRequest,
)
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.candles import unpack
from shared.market.store import CandleStore
from shared.model.artifact import decode, encode
from shared.model.candles import Candles, view
from shared.model.features import matrix
from shared.model.history import WARMUP
from shared.runtime.tasks import alongside
from tests.benchmarks import markets
from tests.benchmarks.jobs import HORIZONS
from tests.benchmarks.measure import (
    Pair,
    Row,
    Section,
    at_most,
    paired,
    quietness,
    times_less,
    times_more,
    value,
)
from tests.benchmarks.plan import Plan
from tests.benchmarks.serving import Native, asked, trained
from tests.support.predicting import record, universe
from tests.support.system import eventually

_NEWEST: Final = WARMUP + 1
_WITHIN_S: Final = 300.0
#: In hours, and from one pre-generation to the next: what has long enough to live is not made anew.
_TTL, _LONGER = 24.0, 1.2


def measure(plan: Plan) -> Section:
    daily = markets.daily(plan.candles)
    candles = daily.long_enough(markets.with_history(plan.daily_rows))[0]
    packed, natives = trained(candles, plan)
    with tempfile.TemporaryDirectory() as folder:
        rows = uvloop.run(_measured(Path(folder), packed, natives, candles[-_NEWEST:], plan))
    return Section(
        title="The prediction cache",
        notes=(
            f"A predictor of {plan.cold} symbols, each with a model of {len(HORIZONS)} horizons "
            f"and four learners, trained on {daily.source}; one nats-server. Wall time, everything "
            f"by questions over NATS. {quietness()}",
            "Pre-generation ends when every prediction is in the bucket, on the predictor's disk, "
            "and noted to be scored later; it rests for half of the time. The yardstick is a loop "
            "over the same symbols, one after the other, that reads the candles, loads the "
            "boosters in the libraries' own formats, predicts, and writes the bucket.",
            "Reads are asked one after the other by one reader, for one symbol after the other; "
            "first with nothing else to do (the yardstick), then during a pre-generation.",
        ),
        rows=rows,
    )


async def _measured(
    folder: Path, packed: bytes, natives: list[Native], newest: Candles, plan: Plan
) -> tuple[Row, ...]:
    symbols = [Symbol(f"S{number}/USDT") for number in range(plan.cold)]
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(embedded_server(folder / "nats"))
        options = NatsOptions(servers=(url,))
        connection = await stack.enter_async_context(connected(options, name="reader"))
        await topology.ensure(connection)
        await _furnish(connection, symbols, packed, newest)
        predictor = _Predictor(connection, symbols)
        await stack.enter_async_context(_started(url, folder, predictor))
        ahead, quiet, busy = [], [], []
        for _ in range(plan.turns):
            ours = await _took(predictor.pregenerate())
            ahead.append((ours, await _took(_one_by_one(connection, symbols, natives))))
            quiet.append(await predictor.reads(plan.messages))
            busy.append(await predictor.reads_during_pregeneration())
        misses = [await predictor.missed(symbol) for symbol in symbols[: plan.messages]]
    return (
        times_less(f"{plan.cold} symbols made in advance", paired(ahead), "s"),
        times_more(
            "a read from memory meanwhile, median", _pair(busy, quiet, 0.5), "us", at_most(1.5)
        ),
        times_more("the same, 99 %", _pair(busy, quiet, 0.99), "us"),
        value("a miss, median", statistics.median(misses), "ms", at_most(50)),
    )


async def _furnish(
    connection: Connection, symbols: list[Symbol], packed: bytes, newest: Candles
) -> None:
    """A market and a model of its own for each symbol."""
    model, rows = decode(packed), unpack(newest.tobytes())
    artifacts, store = Artifacts(connection), CandleStore(Bucket(connection, subjects.CANDLES))
    models = Bucket(connection, subjects.MODELS)
    for symbol in symbols:
        await store.append(symbol, Timeframe.D1, rows)
        data = encode(replace(model, card=replace(model.card, symbol=symbol)))
        sha256 = await artifacts.put(data)
        live = record(symbol=symbol, sha256=sha256, timeframe=Timeframe.D1, horizons=HORIZONS)
        await models.put(symbol.token, codec.encode(live))
    config = Bucket(connection, subjects.CONFIG)
    await config.put(subjects.UNIVERSE, codec.encode(universe(*symbols)))


class _Predictor:
    """One in a process of its own."""

    def __init__(self, connection: Connection, symbols: list[Symbol]) -> None:
        self._connection = connection
        self._symbols = symbols
        self._ttl_hours = _TTL

    async def ready(self) -> None:
        """Wait until it has computed everything for the first time."""

        async def all_cached() -> bool:
            with suppress(Unavailable):
                report = await self._ask("cache", CacheRequest(), CacheReport)
                return bool(report.in_memory == len(self._symbols))
            return False

        await eventually(all_cached, within=_WITHIN_S)

    async def pregenerate(self) -> None:
        asked = PregenerateRequest(ttl_hours=self._ttl_hours)
        self._ttl_hours *= _LONGER
        found = await self._ask("pregenerate", asked, Pregenerated)
        if found.made != len(self._symbols):
            raise AssertionError(f"not everything was made anew: {found}")

    async def reads(self, times: int) -> list[float]:
        """Seconds of each."""
        return [await self._read(symbol) for _, symbol in zip(range(times), cycle(self._symbols))]

    async def reads_during_pregeneration(self) -> list[float]:
        took: list[float] = []

        async def read_on_and_on() -> None:
            symbols = cycle(self._symbols)
            while True:
                took.append(await self._read(next(symbols)))

        async with alongside(read_on_and_on(), name="reader"):
            await self.pregenerate()
        return took

    async def missed(self, symbol: Symbol) -> float:
        await self._ask("clear", ClearCacheRequest(symbols=(symbol,)), dict)
        return await self._read(symbol)

    async def _read(self, symbol: Symbol) -> float:
        return await _took(self._ask("get", PredictRequest(symbol=symbol), Prediction))

    async def _ask(self, endpoint: str, question: object, answer: type[Any]) -> Any:
        subject = f"evertrain.predictor.{endpoint}"
        return await rpc.ask(self._connection, subject, question, answer, timeout=_WITHIN_S)


@asynccontextmanager
async def _started(url: str, folder: Path, predictor: _Predictor) -> AsyncIterator[None]:
    settings = {"NATS_URL": url, "DATA_DIR": str(folder), "LOG_LEVEL": "error"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.predictor"), env=os.environ | settings
    )
    try:
        await predictor.ready()
        yield
    finally:
        process.kill()
        await process.wait()


async def _one_by_one(connection: Connection, symbols: list[Symbol], natives: list[Native]) -> None:
    store = CandleStore(Bucket(connection, subjects.CANDLES))
    bucket = Bucket(connection, subjects.CONFIG)
    for symbol in symbols:
        candles = view(await store.tail(symbol, Timeframe.D1, _NEWEST))
        loaded = [load(data) for data, load in natives]
        said = [float(each.ravel()[-1]) for each in asked(loaded, matrix(candles))]
        await bucket.put(f"one_by_one.{symbol.token}", codec.encode(said))


async def _took(work: Awaitable[object]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


def _pair(busy: list[list[float]], quiet: list[list[float]], share: float) -> Pair:
    """Of the times that this share of the reads stays below."""
    turns = zip(busy, quiet, strict=True)
    return paired([(_below(ours, share), _below(theirs, share)) for ours, theirs in turns])


def _below(took: list[float], share: float) -> float:
    return sorted(took)[int(share * (len(took) - 1))]
