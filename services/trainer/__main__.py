"""The trainer: takes requests as coordinator and jobs as worker, trains in child processes."""

import asyncio
import logging
from contextlib import AsyncExitStack
from functools import partial

from services.trainer import job
from services.trainer.adapters import intake
from services.trainer.adapters.inspector import ArtifactInspector
from services.trainer.adapters.outlet import BusOutlet
from services.trainer.adapters.parameters import FencedParameters
from services.trainer.adapters.peers import LiveSlopes
from services.trainer.adapters.planner import SchedulerPlanner
from services.trainer.adapters.pool import TrainingPool
from services.trainer.adapters.registry import KvRegistry
from services.trainer.adapters.runbook import KvRunBook
from services.trainer.adapters.strays import refuse_strays
from services.trainer.cleanup import Cleanup
from services.trainer.drift import DriftGauge
from services.trainer.foreman import Foreman
from services.trainer.rollback import Rollbacks
from services.trainer.run import Coordinator
from services.trainer.settings import Settings
from shared.bus import rpc, topology
from shared.bus.connection import Connection, connected
from shared.bus.consumer import consume
from shared.bus.kv import Bucket
from shared.bus.locks import JetStreamLeases, SymbolLocks
from shared.bus.objects import Artifacts
from shared.bus.publisher import Publisher
from shared.bus.rpc import Endpoint
from shared.bus.survey import Reporter
from shared.contracts import subjects
from shared.contracts.requests import CleanupRequest, MeasureDriftRequest, RollbackRequest
from shared.market.store import CandleStore
from shared.runtime.clock import utc_now
from shared.runtime.lease import LeasePolicy
from shared.runtime.service import run
from shared.runtime.settings import Environment
from shared.runtime.tasks import Worker, endless, supervise
from shared.runtime.version import VERSION

log = logging.getLogger(__name__)


async def main(env: Environment) -> None:
    settings = Settings.read(env)
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(connected(settings.nats, name="trainer"))
        await topology.ensure(connection)
        leases = await JetStreamLeases.open(connection)
        publisher = Publisher(connection)
        pool = await stack.enter_async_context(
            TrainingPool(settings.processes, memory_mb=settings.memory_mb)
        )
        reporter = Reporter("trainer", VERSION, children=pool.pids)
        name = reporter.instance
        coordinating = _coordinating(name, connection, publisher, leases)
        working = _working(name, settings, connection, publisher, leases, pool)
        endpoints = _answering(name, settings, connection, publisher, leases, pool)
        reporter.ready = True
        log.info("ready", extra={"processes": settings.processes})
        await supervise(
            connection.stay_open,
            *coordinating,
            *working,
            partial(rpc.serve, connection, "trainer", VERSION, endpoints),
            partial(reporter.report_itself, connection),
            pool.rest_when_idle,
            partial(_say_how_children_run, pool),
            grace=5,
        )


def _coordinating(
    name: str, connection: Connection, publisher: Publisher, leases: JetStreamLeases
) -> tuple[Worker, ...]:
    """What takes requests."""
    book, planner = KvRunBook(connection), SchedulerPlanner(connection)
    outlet = BusOutlet(connection, publisher)
    coordinator = Coordinator(
        name=name,
        book=book,
        foreman=Foreman(book=book, planner=planner, outlet=outlet, clock=utc_now),
        planner=planner,
        outlet=outlet,
        registry=KvRegistry(connection),
        leases=leases,
        policy=LeasePolicy(),
        clock=utc_now,
    )
    cycles, runs = intake.requests(coordinator.on_request)
    return (
        partial(consume, connection, publisher, cycles),
        partial(consume, connection, publisher, runs),
        partial(refuse_strays, connection, publisher),
    )


def _working(
    name: str,
    settings: Settings,
    connection: Connection,
    publisher: Publisher,
    leases: JetStreamLeases,
    pool: TrainingPool,
) -> tuple[Worker, ...]:
    """What takes jobs, and what knows the models of other symbols for them."""
    peers = LiveSlopes(connection)
    worker = job.Worker(
        name=name,
        deadline_s=settings.deadline_s,
        book=KvRunBook(connection),
        candles=CandleStore(Bucket(connection, subjects.CANDLES)),
        pool=pool,
        registry=KvRegistry(connection),
        parameters=FencedParameters(Bucket(connection, subjects.PARAMETERS)),
        peers=peers,
        outlet=BusOutlet(connection, publisher),
        leases=leases,
        policy=LeasePolicy(),
        clock=utc_now,
    )
    jobs = intake.orders(worker.on_order, at_once=settings.processes)
    return partial(consume, connection, publisher, jobs), endless(peers.follow)


def _answering(
    name: str,
    settings: Settings,
    connection: Connection,
    publisher: Publisher,
    leases: JetStreamLeases,
    pool: TrainingPool,
) -> tuple[Endpoint, ...]:
    registry = KvRegistry(connection)
    rollbacks = Rollbacks(
        name=name,
        registry=registry,
        inspector=ArtifactInspector(),
        locks=SymbolLocks(connection),
        outlet=publisher,
        leases=leases,
        policy=LeasePolicy(),
        clock=utc_now,
    )
    cleanup = Cleanup(
        artifacts=Artifacts(connection),
        registry=registry,
        retention=settings.retention,
        clock=utc_now,
    )
    candles = CandleStore(Bucket(connection, subjects.CANDLES))
    gauge = DriftGauge(registry=registry, candles=candles, pool=pool, clock=utc_now)
    return (
        Endpoint(name="rollback", request=RollbackRequest, handler=rollbacks.roll_back),
        Endpoint(name="drift", request=MeasureDriftRequest, handler=gauge.measure),
        Endpoint(name="cleanup", request=CleanupRequest, handler=cleanup.clean_up),
    )


async def _say_how_children_run(pool: TrainingPool, stop: asyncio.Event) -> None:
    seen = await pool.isolation()
    log.info("training children: %s", seen.summary)
    if seen.competes:
        log.warning("training takes time from the gateway: its priority cannot be lowered")
    await stop.wait()


if __name__ == "__main__":
    run("trainer", main)
