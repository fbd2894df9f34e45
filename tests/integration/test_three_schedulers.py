"""A week of ticks for three schedulers on one nats-server, who are killed again and again.

The ticks are messages of the test, which carry the time of a simulated week; the streams, the
consumer and the ledger are real.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import cycle

from services.scheduler.adapters.ledger import TickLedger
from services.scheduler.adapters.outlet import TrainingRequests
from services.scheduler.domain.cadence import REVIEW, InForce, Schedule, every_minutes
from services.scheduler.ticks import Ticks, training
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.consumer import Delivery, Work, consume
from shared.bus.kv import Bucket
from shared.bus.publisher import Publisher
from shared.contracts import codec, subjects
from shared.contracts.records import TickRecord
from shared.contracts.requests import TrainRequest
from shared.contracts.terms import Mode
from shared.runtime.tasks import cancelled

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
HOUR, WEEK = timedelta(hours=1), timedelta(days=7)
SCHEDULES = (
    every_minutes(Mode.CYCLE, 60),
    Schedule(name=Mode.INCREMENTAL, cron="15 */6 * * *"),
    Schedule(name=Mode.FULL, cron="30 2 * * 0"),
)
SINCE = MONDAY + timedelta(seconds=1)
#: Nobody is there from this time until that, when the cycle of 14:00 and the updates of 12:15 can
#: still be caught up.
ALL_DEAD, BACK = MONDAY + timedelta(hours=50.75), MONDAY + timedelta(hours=62.25)
POINTS = ("before it is noted", "noted", "asked for", "done")


class Killed(Exception):
    pass


class Week:
    """The time, which is the same for everyone, and what has been handled."""

    def __init__(self) -> None:
        self.now = MONDAY
        self.handled: set[datetime] = set()
        #: Where whoever gets there next is killed.
        self.deadly: str | None = None
        self.news = asyncio.Event()

    def pass_point(self, point: str) -> None:
        if self.deadly == point:
            self.deadly = None
            raise Killed(point)

    async def until_handled(self, at: datetime) -> None:
        async with asyncio.timeout(20):
            while at not in self.handled:
                self.news.clear()
                await self.news.wait()


class MortalLedger(TickLedger):
    def __init__(self, connection: Connection, week: Week) -> None:
        super().__init__(connection)
        self._week = week

    async def note(self, tick: TickRecord) -> None:
        self._week.pass_point("before it is noted")
        await super().note(tick)
        self._week.pass_point("noted")

    async def finish(self, tick: TickRecord) -> None:
        self._week.pass_point("asked for")
        await super().finish(tick)
        self._week.pass_point("done")


class Scheduler:
    """One of the three; killed, it comes back as a new process would."""

    def __init__(self, url: str, week: Week) -> None:
        self._url = url
        self._week = week
        self._life: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        return self._life is not None and not self._life.done()

    def start(self) -> None:
        self._life = asyncio.create_task(self._live())

    async def kill(self) -> None:
        if self._life is not None:
            await cancelled(self._life)

    async def _live(self) -> None:
        with suppress(ExceptionGroup):
            async with connected(NatsOptions(servers=(self._url,)), name="one") as connection:
                publisher, week = Publisher(connection), self._week
                requests = TrainingRequests(publisher)
                actions = {one.name: training(Mode(one.name), requests) for one in SCHEDULES}
                ticks = Ticks(MortalLedger(connection, week), actions, lambda: week.now)
                ticks.obey(tuple(InForce(schedule=one, since=SINCE) for one in SCHEDULES))

                async def on_tick(delivery: Delivery) -> None:
                    at = datetime.fromisoformat(json.loads(delivery.data))
                    await ticks.on_tick(delivery.subject.rpartition(".")[2], at)
                    week.handled.add(at)
                    week.news.set()

                work = Work(
                    stream=subjects.CLOCK,
                    durable="training-ticks",
                    filters=tuple(subjects.tick(name) for name in (REVIEW, *actions)),
                    handler=on_tick,
                    ack_wait=0.4,
                )
                await consume(connection, publisher, work, asyncio.Event())


@asynccontextmanager
async def three(url: str, week: Week) -> AsyncIterator[list[Scheduler]]:
    schedulers = [Scheduler(url, week) for _ in range(3)]
    for one in schedulers:
        one.start()
    try:
        yield schedulers
    finally:
        for one in schedulers:
            await one.kill()


def instants(schedule: Schedule) -> Iterator[datetime]:
    """Those of the week; the first is after Monday began."""
    at = MONDAY
    while (at := schedule.next_after(at)) < MONDAY + WEEK:
        yield at


DUE = {schedule.name: set(instants(schedule)) for schedule in SCHEDULES}
#: What JetStream would say in this week. It reviews at 20 past each hour; in life more often.
TICKS = sorted(
    [(MONDAY + n * HOUR + HOUR / 3, REVIEW) for n in range(168)]
    + [(at, name) for name, every in DUE.items() for at in every]
)


async def say(connection: Connection, name: str, at: datetime) -> None:
    payload = json.dumps(at.isoformat()).encode()
    await connection.js.publish(subjects.tick(name), payload, stream=subjects.CLOCK)


async def live_through(connection: Connection, week: Week, schedulers: list[Scheduler]) -> int:
    """The week, with one of them killed at every seventh tick, and all of them for half a day;
    how many were killed in the middle of something.
    """
    points, kills = cycle(POINTS), 0
    for number, (at, name) in enumerate(TICKS):
        if ALL_DEAD <= at < BACK:
            for one in schedulers:
                await one.kill()
            week.now = at
            await say(connection, name, at)
            continue
        week.now = at
        if number % 5 == 0:
            for one in schedulers:
                if not one.alive:
                    one.start()
        if number % 7 == 0 and name != REVIEW:
            week.deadly = next(points)
            kills += 1
        await say(connection, name, at)
        await week.until_handled(at)
    return kills


async def requested(connection: Connection) -> Counter[str]:
    """How often each run was asked for; nobody takes the requests."""
    info = await connection.js.stream_info(subjects.REQUESTS)
    found: Counter[str] = Counter()
    for sequence in range(1, info.state.last_seq + 1):
        message = await connection.js.get_msg(subjects.REQUESTS, sequence)
        found[str(codec.decode(message.data or b"", TrainRequest).request_id)] += 1
    return found


async def test_in_a_week_of_kills_each_tick_is_acted_on_once_and_one_is_caught_up(
    connection: Connection, nats_url: str
) -> None:
    week = Week()
    async with three(nats_url, week) as schedulers:
        kills = await live_through(connection, week, schedulers)
    assert kills > 20

    found = await requested(connection)
    assert set(found.values()) == {1}

    ledger = Bucket(connection, subjects.TICKS)
    records = [codec.decode(one.value, TickRecord) for one in await ledger.entries()]
    assert len(records) == len(found)
    assert all(record.done_at is not None for record in records)
    for schedule in SCHEDULES:
        acted = {record.due for record in records if record.schedule == schedule.name}
        every = DUE[schedule.name]
        unattended = {at for at in every if ALL_DEAD <= at < BACK}
        late = acted & unattended
        assert every - acted == unattended - late
        assert late == ({max(unattended)} if unattended else set())
        missed = sum(record.missed for record in records if record.schedule == schedule.name)
        assert missed == len(unattended - late)
    caught_up = [record for record in records if record.noted_at - record.due > HOUR / 60]
    assert {record.schedule for record in caught_up} == {Mode.INCREMENTAL, Mode.CYCLE}
