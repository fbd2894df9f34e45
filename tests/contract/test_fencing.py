"""Whatever order things happen in, an older holder of a lease never overwrites a newer one.

A state machine drives workers step by step: each of their reads and writes waits until the machine
lets it through, so a worker can be frozen between any two of them, its lease can run out meanwhile,
and others can take over. The same machine finds both ways in which half a fence fails.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any, Protocol, TypeVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.trainer.adapters.registry import FencedModels
from shared.bus import topology
from shared.bus.connection import Connection, NatsOptions, connected
from shared.bus.kv import Bucket, Entry
from shared.bus.locks import JetStreamLeases
from shared.contracts import codec, subjects
from shared.contracts.errors import Fenced, LeaseLost, LeaseTaken, Unavailable
from shared.contracts.records import ModelRecord
from shared.contracts.symbols import Symbol
from shared.runtime.lease import LeaseStore, Revision
from tests.support.buckets import MemoryBucket
from tests.support.coordination import model_record
from tests.support.stores import MemoryLeaseStore
from tests.support.virtual_time import VirtualTimeLoop

TTL = 15.0
WORKERS = 2
T = TypeVar("T")


class ModelBucket(Protocol):
    async def get(self, key: str) -> Entry | None: ...

    async def put(self, key: str, value: bytes) -> int: ...

    async def create(self, key: str, value: bytes) -> int: ...

    async def update(self, key: str, value: bytes, last: int) -> int: ...


class World(Protocol):
    """Where leases and models are kept."""

    leases: LeaseStore
    models: ModelBucket

    def run(self, work: Coroutine[Any, Any, T]) -> T: ...

    async def let_expire(self, key: str) -> None:
        """Let the time of a lease run out, without its holder knowing."""


class Memory:
    def __init__(self) -> None:
        self.leases: LeaseStore = MemoryLeaseStore()
        self.models: ModelBucket = MemoryBucket()
        self._loop = VirtualTimeLoop()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    async def let_expire(self, key: str) -> None:
        self._loop.jump(TTL)

    def close(self) -> None:
        self._loop.close()


class JetStream:
    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        self._loop = loop
        self._locks = Bucket(connection, subjects.LOCKS)
        self.leases: LeaseStore = self.run(JetStreamLeases.open(connection))
        self.models: ModelBucket = Bucket(connection, subjects.MODELS)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    async def let_expire(self, key: str) -> None:
        """The server removes what has expired; that it does so by itself is shown elsewhere."""
        await self._locks.delete(key)


class Gated:
    """A bucket each of whose verbs waits until it is let through; it notes what is written."""

    def __init__(self, bucket: ModelBucket, written: list[int]) -> None:
        self._bucket = bucket
        self._written = written
        self._arrived = asyncio.Event()
        self._open = asyncio.Event()

    async def get(self, key: str) -> Entry | None:
        await self._pass()
        return await self._bucket.get(key)

    async def put(self, key: str, value: bytes) -> int:
        await self._pass()
        return self._note(value, await self._bucket.put(key, value))

    async def create(self, key: str, value: bytes) -> int:
        await self._pass()
        return self._note(value, await self._bucket.create(key, value))

    async def update(self, key: str, value: bytes, last: int) -> int:
        await self._pass()
        return self._note(value, await self._bucket.update(key, value, last))

    async def until_it_waits(self, task: asyncio.Task[Any]) -> None:
        """Until the task waits here, or has ended."""
        arrived = asyncio.create_task(self._arrived.wait())
        await asyncio.wait({task, arrived}, return_when=asyncio.FIRST_COMPLETED)
        arrived.cancel()

    def let_through(self) -> None:
        self._arrived.clear()
        self._open.set()

    async def _pass(self) -> None:
        self._arrived.set()
        await self._open.wait()
        self._open.clear()

    def _note(self, value: bytes, revision: int) -> int:
        self._written.append(codec.decode(value, ModelRecord).token)
        return revision


@dataclass(slots=True)
class Holder:
    """What a worker believes about its lease, whether it is still true or not."""

    token: int
    value: bytes
    revision: Revision


@dataclass(slots=True)
class Promotion:
    task: asyncio.Task[None]
    gate: Gated


@dataclass(slots=True)
class Worker:
    believes: Holder | None = None
    promotion: Promotion | None = None

    @property
    def lease(self) -> Holder:
        assert self.believes is not None
        return self.believes


@dataclass(slots=True)
class History:
    tokens: list[int] = field(default_factory=list)
    #: The tokens of the models that went live, in the order in which they did.
    written: list[int] = field(default_factory=list)


Fence = Callable[[ModelBucket], FencedModels]
names = count()


class Fencing(RuleBasedStateMachine):
    def __init__(self, world: World, fence: Fence) -> None:
        super().__init__()
        self.world = world
        self.fence = fence
        self.symbol = Symbol(f"S{next(names)}")
        self.key = subjects.symbol_lock(self.symbol)
        self.workers = [Worker() for _ in range(WORKERS)]
        self.holder: Holder | None = None
        self.history = History()

    @rule(data=st.data())
    def acquire(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        value = f"acquisition {next(names)}".encode()
        try:
            revision = self.world.run(self.world.leases.create(self.key, value, ttl=TTL))
        except LeaseTaken:
            assert self.holder is not None
            return
        assert self.holder is None
        self.holder = worker.believes = Holder(revision, value, revision)
        self.history.tokens.append(revision)

    @precondition(lambda self: self.believers)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.believers)).lease
        renewal = self.world.leases.renew(self.key, lease.value, lease.revision, ttl=TTL)
        try:
            lease.revision = self.world.run(renewal)
        except LeaseLost:
            assert self.holder is not lease
        else:
            assert self.holder is lease

    @precondition(lambda self: self.believers)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.believers))
        lease, worker.believes = worker.lease, None
        try:
            self.world.run(self.world.leases.delete(self.key, lease.value, lease.revision))
        except LeaseLost:
            assert self.holder is not lease
        else:
            assert self.holder is lease
            self.holder = None

    @precondition(lambda self: self.holder is not None)
    @rule()
    def expire(self) -> None:
        self.world.run(self.world.let_expire(self.key))
        self.holder = None

    @precondition(lambda self: self.idle_believers)
    @rule(data=st.data())
    def begin_to_promote(self, data: st.DataObject) -> None:
        """A zombie does so as well: it does not know that it is one."""
        worker = data.draw(st.sampled_from(self.idle_believers))
        token, version = worker.lease.token, f"v{next(names)}"
        model = model_record(self.symbol, token=token, epoch="one", version=version)
        worker.promotion = self.world.run(self._begin(model))

    @precondition(lambda self: self.promoting)
    @rule(data=st.data())
    def let_one_step_happen(self, data: st.DataObject) -> None:
        self._let_one_step_happen(data.draw(st.sampled_from(self.promoting)))

    @invariant()
    def tokens_only_grow(self) -> None:
        assert all(old < new for old, new in pairwise(self.history.tokens))

    @invariant()
    def no_older_holder_overwrites_a_newer_one_nor_promotes_twice(self) -> None:
        assert all(old < new for old, new in pairwise(self.history.written))

    @property
    def believers(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.believes]

    @property
    def idle_believers(self) -> list[Worker]:
        return [worker for worker in self.believers if not worker.promotion]

    @property
    def promoting(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.promotion]

    def teardown(self) -> None:
        while self.promoting:
            self._let_one_step_happen(self.promoting[0])

    def _let_one_step_happen(self, worker: Worker) -> None:
        assert worker.promotion is not None
        if self.world.run(self._step(worker.promotion)):
            worker.promotion = None

    async def _begin(self, model: ModelRecord) -> Promotion:
        gate = Gated(self.world.models, self.history.written)
        task = asyncio.create_task(_promote(self.fence(gate), model))
        await gate.until_it_waits(task)
        return Promotion(task, gate)

    async def _step(self, promotion: Promotion) -> bool:
        """Let the next read or write happen; whether it was the last one."""
        promotion.gate.let_through()
        await promotion.gate.until_it_waits(promotion.task)
        if promotion.task.done():
            promotion.task.result()
        return promotion.task.done()


async def _promote(models: FencedModels, model: ModelRecord) -> None:
    with suppress(Fenced, Unavailable):  # which is what the fence is for
        await models.promote(model)


class WithoutTheToken(FencedModels):
    def _compare(self, model: ModelRecord, live: ModelRecord | None) -> None:
        pass


class WithoutCompareAndSet(FencedModels):
    async def _write(self, key: str, model: ModelRecord, entry: Entry | None) -> None:
        bucket = self._models
        assert isinstance(bucket, Gated)
        await bucket.put(key, codec.encode(model))


def drive(world: World, fence: Fence, *, examples: int) -> None:
    class Driven(Fencing):
        def __init__(self) -> None:
            super().__init__(world, fence)

    run_state_machine_as_test(
        Driven,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            phases=[Phase.generate],
            database=None,
        ),
    )


@pytest.fixture
def memory() -> Iterator[World]:
    world = Memory()
    yield world
    world.close()


@pytest.fixture
def jetstream(nats_url: str) -> Iterator[World]:
    with _connected(nats_url) as world:
        yield world


@contextmanager
def _connected(url: str) -> Iterator[World]:
    with asyncio.Runner() as runner:
        connecting = connected(NatsOptions(servers=(url,)), name="test")
        connection = runner.run(connecting.__aenter__())
        runner.run(topology.ensure(connection))
        try:
            yield JetStream(runner.get_loop(), connection)
        finally:
            runner.run(connecting.__aexit__(None, None, None))


def test_no_interleaving_lets_an_old_holder_promote_over_a_newer_one(memory: World) -> None:
    drive(memory, FencedModels, examples=100)


def test_no_interleaving_does_so_on_jetstream(jetstream: World) -> None:
    drive(jetstream, FencedModels, examples=25)


@pytest.mark.parametrize("half", [WithoutTheToken, WithoutCompareAndSet])
def test_half_a_fence_is_found_out(memory: World, half: type[FencedModels]) -> None:
    with pytest.raises(AssertionError):
        drive(memory, half, examples=200)


@pytest.mark.parametrize("half", [WithoutTheToken, WithoutCompareAndSet])
def test_half_a_fence_is_found_out_on_jetstream(jetstream: World, half: type[FencedModels]) -> None:
    with pytest.raises(AssertionError):
        drive(jetstream, half, examples=200)
