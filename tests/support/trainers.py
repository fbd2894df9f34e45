"""A scheduler and trainers as their `__main__` puts them together, many in one process, with short
times and a pool that only pretends to train.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from nats.aio.msg import Msg

from services.scheduler.adapters.audience import Audience
from services.scheduler.adapters.decisions import StoredRecord
from services.scheduler.adapters.ledger import MissedTicks
from services.scheduler.adapters.progress import ProgressMirror
from services.scheduler.adapters.registry import RegistryMirror
from services.scheduler.adapters.runbook import KvRunBook as RunsToCancel
from services.scheduler.adapters.view import SCHEMA, RunView, follow_runs
from services.scheduler.cancellation import Cancellation
from services.scheduler.domain.configuration import beginning
from services.scheduler.domain.decisions import Decisions
from services.scheduler.handlers import Answers
from services.scheduler.market import Market
from services.trainer.adapters import intake
from services.trainer.adapters.outlet import BusOutlet
from services.trainer.adapters.parameters import FencedParameters
from services.trainer.adapters.peers import LiveSlopes
from services.trainer.adapters.planner import SchedulerPlanner
from services.trainer.adapters.registry import KvRegistry
from services.trainer.adapters.runbook import KvRunBook
from services.trainer.adapters.strays import refuse_strays
from services.trainer.foreman import Foreman
from services.trainer.job import Worker
from services.trainer.run import Coordinator
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.consumer import Work, consume
from shared.bus.kv import Bucket
from shared.bus.locks import JetStreamLeases, TrainingLock
from shared.bus.publisher import Publisher
from shared.bus.rpc import Endpoint, serve
from shared.contracts import codec, subjects
from shared.contracts.configuration import Configured
from shared.contracts.events import Event
from shared.contracts.records import Universe
from shared.contracts.requests import CancelRequest, PlanRequest, RunsRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Timeframe
from shared.market.providers.synthetic import Synthetic
from shared.market.store import CandleStore
from shared.runtime.clock import utc_now
from shared.runtime.lease import LeasePolicy
from shared.runtime.tasks import Worker as Task
from shared.runtime.tasks import alongside, cancelled, endless
from shared.runtime.version import VERSION
from shared.storage.sqlite import open_view
from tests.support.coordination import CONFIGURATION, SlowPool, fit_result

#: A dead trainer is replaced after about two seconds instead of twenty.
LEASE = LeasePolicy(ttl=2, margin=0.5, renew_every=0.5)
ACK_WAIT_S = 2.0
RETRY_AFTER_S = 0.3


@asynccontextmanager
async def scheduler(
    connection: Connection, symbols: Sequence[Symbol], data_dir: Path
) -> AsyncIterator[None]:
    """A scheduler without a clock: what it answers to trainers, and its `cancel`."""
    universe = Universe(symbols=tuple(symbols), timeframe=Timeframe.D1, horizons=(1, 3))
    configured = beginning(CONFIGURATION, utc_now())
    await StoredRecord(connection, subjects.UNIVERSE, Universe).replace(universe, 0)
    await StoredRecord(connection, subjects.CONFIGURATION, Configured).replace(configured, 0)
    registry, stop = RegistryMirror(connection), asyncio.Event()
    async with open_view(data_dir / "runs.sqlite", SCHEMA) as database:
        view = RunView(database)
        answers = Answers(
            decisions=Decisions(universe=universe, configured=configured),
            models=registry.models,
            runs=view,
            candles=Market(
                Synthetic(count=1, clock=utc_now),
                CandleStore(Bucket(connection, subjects.CANDLES)),
                Publisher(connection),
                utc_now,
            ),
            progress=ProgressMirror(),
            lock=TrainingLock(connection),
            missed=MissedTicks(connection),
            audience=Audience(connection),
            clock=utc_now,
        )
        cancellation = Cancellation(view, RunsToCancel(connection), utc_now)
        endpoints = (
            Endpoint(name="plan", request=PlanRequest, handler=answers.plan),
            Endpoint(name="runs", request=RunsRequest, handler=answers.runs),
            Endpoint(name="cancel", request=CancelRequest, handler=cancellation.cancel),
        )
        async with (
            alongside(follow_runs(connection, view), name="runs"),
            alongside(registry.follow(), name="models"),
            alongside(serve(connection, "scheduler", VERSION, endpoints, stop), name="answers"),
        ):
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a trainer is made of."""

    book: Callable[[Connection], KvRunBook] = KvRunBook
    outlet: Callable[[Connection, Publisher], BusOutlet] = BusOutlet
    registry: Callable[[Connection], KvRegistry] = KvRegistry


class Trainer:
    """One trainer on a connection of its own; `pool` says what it trained and when."""

    def __init__(
        self, name: str, connection: Connection, pool: SlowPool, parts: Parts | None = None
    ) -> None:
        self.name = name
        self.pool = pool
        self._parts = parts or Parts()
        self._connection = connection
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *, coordinates: bool, works: bool) -> None:
        publisher, book = Publisher(self._connection), self._parts.book(self._connection)
        outlet = self._parts.outlet(self._connection, publisher)
        registry = self._parts.registry(self._connection)
        leases = await JetStreamLeases.open(self._connection)
        planner = SchedulerPlanner(self._connection)
        coordinator = Coordinator(
            name=self.name,
            book=book,
            foreman=Foreman(book=book, planner=planner, outlet=outlet, clock=utc_now),
            planner=planner,
            outlet=outlet,
            registry=registry,
            leases=leases,
            policy=LEASE,
            clock=utc_now,
        )
        peers = LiveSlopes(self._connection)
        worker = Worker(
            name=self.name,
            deadline_s=60,
            book=book,
            candles=CandleStore(Bucket(self._connection, subjects.CANDLES)),
            pool=self.pool,
            registry=registry,
            parameters=FencedParameters(Bucket(self._connection, subjects.PARAMETERS)),
            peers=peers,
            outlet=outlet,
            leases=leases,
            policy=LEASE,
            clock=utc_now,
        )
        tasks = _coordinating(self._connection, publisher, coordinator) if coordinates else []
        if works:
            tasks += [*_working(self._connection, publisher, worker), endless(peers.follow)]
        self._tasks = [asyncio.create_task(task(self._stop), name=self.name) for task in tasks]

    async def kill(self) -> None:
        """End it as a crash does: it tells nobody and lets go of nothing."""
        await self._connection.client.close()
        await asyncio.sleep(0.01)  # a cancellation that meets the end of a fetch would be swallowed
        await cancelled(*self._tasks)

    async def stop(self) -> None:
        """Take nothing new, and let go of what is in hand."""
        self._stop.set()
        _, late = await asyncio.wait(self._tasks, timeout=2)
        await cancelled(*late)

    def check(self) -> None:
        """Raise the bug that ended one of its tasks."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()


@asynccontextmanager
async def trainer(
    url: str, name: str, *, seconds: float = 0.2, coordinates: bool = True, works: bool = True
) -> AsyncIterator[Trainer]:
    pool = SlowPool(seconds=seconds)
    pool.outcome = fit_result(name.encode())
    async with connected(NatsOptions(servers=(url,)), name=name) as connection:
        started = Trainer(name, connection, pool)
        await started.start(coordinates=coordinates, works=works)
        try:
            yield started
            started.check()
        finally:
            await started.kill()


class Listener(list[Event]):
    """Every event of the stream, which keeps one that was told twice once."""

    async def listen(self, connection: Connection) -> None:
        await connection.js.subscribe(
            subjects.ALL_EVENTS, stream=subjects.EVENTS, cb=self._take, ordered_consumer=True
        )

    async def _take(self, message: Msg) -> None:
        self.append(codec.decode_event(message.data))

    def of(self, kind: str) -> list[Event]:
        return [event for event in self if event.type == kind]


def _coordinating(
    connection: Connection, publisher: Publisher, coordinator: Coordinator
) -> list[Task]:
    works = [_impatient(work) for work in intake.requests(coordinator.on_request)]
    return [
        *(partial(consume, connection, publisher, work) for work in works),
        partial(refuse_strays, connection, publisher),
    ]


def _working(connection: Connection, publisher: Publisher, worker: Worker) -> list[Task]:
    jobs = _impatient(intake.orders(worker.on_order, at_once=1))
    return [partial(consume, connection, publisher, jobs)]


def _impatient(work: Work) -> Work:
    return replace(work, ack_wait=ACK_WAIT_S, retry_after=RETRY_AFTER_S)
