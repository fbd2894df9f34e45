"""Whatever happens to a trainer at any point of a run: the run completes once, promotions grow in
token, and no symbol is trained twice at once.

Each trial has a server of its own and a trainer in a process of its own, to which it happens;
others are there to go on. They all take place at once, before the first test asks for its outcome.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import psutil
import pytest

from services.trainer.adapters.runbook import KvRunBook
from shared.bus import topology
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.kv import Bucket
from shared.contracts import codec, subjects
from shared.contracts.records import ModelRecord, RunRecord
from shared.contracts.requests import TrainRequest
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode, Status
from tests.support.coordination import symbols
from tests.support.doomed_trainer import Fate, Point, Role
from tests.support.partitions import Road, road_to
from tests.support.servers import nats_server_on
from tests.support.system import eventually
from tests.support.trainers import LEASE, Listener, Trainer, scheduler, trainer

THREE = symbols(3)
TRIALS = list(product(Point, Fate))
#: Two cores carry so many beside each other without their leases running out by themselves.
AT_ONCE = 8
WITHIN_S = 60.0
#: How long a trainer that lost its lease may go on before its work is cancelled.
GRACE_S = LEASE.margin

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    run: RunRecord
    #: How often the stream holds the completion of the run.
    completions: int
    #: The tokens of each symbol's promotions, oldest first.
    tokens: dict[Symbol, list[int]]
    #: When each symbol was trained, by anyone, in order of their begin.
    trained: dict[Symbol, list[Interval]]


class Doomed:
    """The trainer to which it happens. Times are those of the machine's clock."""

    def __init__(self, process: asyncio.subprocess.Process, fate: Fate, road: Road) -> None:
        self._process = process
        self._fate = fate
        self._road = road
        self._said: list[list[str]] = []
        self._away: Interval = (0.0, 0.0)

    async def says(self, word: str) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            while line := await self._process.stdout.readline():
                self._said.append(line.decode().split())
                if self._said[-1] == [word]:
                    return
        raise AssertionError(f"the trainer ended before it said {word!r}")

    async def meets_its_fate(self) -> None:
        await self.says("reached")
        match self._fate:
            case Fate.KILLED:
                await self._process.wait()
            case Fate.FROZEN:
                await eventually(self._is_stopped, within=WITHIN_S)
            case Fate.CUT_OFF:
                self._road.close()
                assert self._process.stdin is not None
                self._process.stdin.write(b"\n")
        self._away = (time.monotonic(), float("inf"))

    def comes_back(self) -> None:
        if self._fate is not Fate.KILLED:
            self._away = (self._away[0], time.monotonic())
        if self._fate is Fate.FROZEN:
            psutil.Process(self._process.pid).resume()
        self._road.open()

    async def ends(self) -> dict[Symbol, list[Interval]]:
        """When it trained, without the time in which it was not there to do so."""
        if self._process.returncode is None:
            self._process.kill()
        assert self._process.stdout is not None
        rest = (await self._process.stdout.read()).decode().splitlines()
        await self._process.wait()
        self._said += [line.split() for line in rest]
        return self._trained()

    def _trained(self) -> dict[Symbol, list[Interval]]:
        found: dict[Symbol, list[Interval]] = {symbol: [] for symbol in THREE}
        gone, back = self._away if self._fate is not Fate.CUT_OFF else (float("inf"), 0.0)
        for words in self._said:
            match words:
                case ["begin", name, at]:
                    found[Symbol(name)].append((float(at), gone))
                case ["end", name, at]:
                    begun, _ = found[Symbol(name)].pop()
                    found[Symbol(name)] += _without((begun, float(at)), (gone, back))
        return found

    async def _is_stopped(self) -> bool:
        return psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED


def _without(whole: Interval, gap: Interval) -> list[Interval]:
    parts = [(whole[0], min(whole[1], gap[0])), (max(whole[0], gap[1]), whole[1])]
    return [part for part in parts if part[0] < part[1]] if gap[0] < whole[1] else [whole]


@asynccontextmanager
async def doomed(url: str, point: Point, fate: Fate) -> AsyncIterator[Doomed]:
    async with road_to(url) as road:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.doomed_trainer", road.url),
            *(point.role, point, fate),
            cwd=Path(__file__).parents[2],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield Doomed(process, fate, road)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def trial(point: Point, fate: Fate, home: Path) -> Outcome:
    coordinates, works = point.role is Role.COORDINATOR, point.role is Role.WORKER
    async with AsyncExitStack() as stack:
        server = stack.enter_context(nats_server_on(home))
        options = NatsOptions(servers=(server.url,))
        connection = await stack.enter_async_context(connected(options, name="test"))
        await topology.ensure(connection)
        await stack.enter_async_context(scheduler(connection, THREE, home))
        helper = await stack.enter_async_context(
            trainer(server.url, "helper", coordinates=works, works=coordinates)
        )
        one = await stack.enter_async_context(doomed(server.url, point, fate))
        await one.says("ready")
        await request_a_run(connection)
        await one.meets_its_fate()
        successor = await stack.enter_async_context(
            trainer(server.url, "successor", coordinates=coordinates, works=works)
        )
        run = await ended(KvRunBook(connection))
        await asyncio.sleep(LEASE.ttl + 0.5)  # nobody's lease has outlived this
        one.comes_back()
        await asyncio.sleep(1.5)
        return await outcome(connection, run, await one.ends(), helper, successor)


async def request_a_run(connection: Connection) -> None:
    request = TrainRequest(request_id="full-1", batch_size=2)
    await connection.js.publish(subjects.train(Mode.FULL), codec.encode(request))


async def ended(book: KvRunBook) -> RunRecord:
    async def final() -> RunRecord | None:
        run = await book.run("full-1")
        return run if run and run.status.final else None

    return await eventually(final, within=WITHIN_S)


async def outcome(
    connection: Connection,
    run: RunRecord,
    trained: dict[Symbol, list[Interval]],
    *others: Trainer,
) -> Outcome:
    listener, models = Listener(), Bucket(connection, subjects.MODELS)
    await listener.listen(connection)
    stored = (await connection.js.stream_info(subjects.EVENTS)).state.messages

    async def heard() -> bool:
        return len(listener) >= stored

    await eventually(heard, within=WITHIN_S)
    for symbol, begun, over in (one for other in others for one in other.pool.trained):
        trained[symbol].append((begun, over))
    assert await KvRunBook(connection).run("full-1") == run, "the run changed after its end"
    return Outcome(
        run=run,
        completions=len(listener.of("run.completed")),
        tokens={
            symbol: [
                codec.decode(entry.value, ModelRecord).token
                for entry in await models.history(symbol.token)
            ]
            for symbol in THREE
        },
        trained={symbol: sorted(times) for symbol, times in trained.items()},
    )


CLAIM = "test_a_run_survives_a_trainer_that_is"
Outcomes = dict[tuple[Point, Fate], Outcome | BaseException]


def name_of(point: Point, fate: Fate) -> str:
    return f"{fate}, {point}"


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Of those trials that a selected test asks for."""
    selected = {item.name for item in request.session.items}
    wanted = [trial for trial in TRIALS if f"{CLAIM}[{name_of(*trial)}]" in selected]
    found: Outcomes = {}
    free = asyncio.Semaphore(AT_ONCE)

    async def undergo(point: Point, fate: Fate) -> None:
        async with free:
            try:
                found[point, fate] = await trial(point, fate, tmp_path_factory.mktemp("trial"))
            except Exception as exc:  # noqa: BLE001, it fails the test of this trial alone
                found[point, fate] = exc

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for point, fate in wanted:
                group.create_task(undergo(point, fate))

    asyncio.run(all_of_them())
    return found


@pytest.mark.parametrize(("point", "fate"), TRIALS, ids=[name_of(*trial) for trial in TRIALS])
def test_a_run_survives_a_trainer_that_is(outcomes: Outcomes, point: Point, fate: Fate) -> None:
    found = outcomes[point, fate]
    if isinstance(found, BaseException):
        raise found
    assert (found.run.status, found.run.done) == (Status.SUCCEEDED, len(THREE))
    assert found.completions == 1
    for tokens in found.tokens.values():
        assert tokens
        assert all(old < new for old, new in pairwise(tokens))
    for times in found.trained.values():
        assert all(begun > over - GRACE_S for (_, over), (begun, _) in pairwise(times))
