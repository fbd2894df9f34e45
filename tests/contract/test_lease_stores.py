"""What every LeaseStore promises: the one in memory, that unit tests trust, and the real one."""

import asyncio

import pytest

from shared.bus.connection import Connection
from shared.bus.locks import JetStreamLeases
from shared.contracts.errors import LeaseLost, LeaseTaken
from shared.runtime.lease import LeasePolicy, LeaseStore, hold
from tests.support.stores import MemoryLeaseStore

TTL = 15.0


class LeaseStoreSuite:
    async def test_a_key_is_created_once(self, store: LeaseStore) -> None:
        await store.create("k", b"a", ttl=TTL)
        with pytest.raises(LeaseTaken):
            await store.create("k", b"b", ttl=TTL)

    async def test_a_key_is_taken_even_for_its_own_holder(self, store: LeaseStore) -> None:
        await store.create("k", b"a", ttl=TTL)
        with pytest.raises(LeaseTaken):
            await store.create("k", b"a", ttl=TTL)

    async def test_revisions_grow_over_all_keys_and_holders(self, store: LeaseStore) -> None:
        first = await store.create("k", b"a", ttl=TTL)
        renewed = await store.renew("k", b"a", first, ttl=TTL)
        other = await store.create("other", b"a", ttl=TTL)
        await store.delete("k", b"a", renewed)
        again = await store.create("k", b"b", ttl=TTL)
        assert first < renewed < other < again

    async def test_a_renewal_by_someone_else_is_refused(self, store: LeaseStore) -> None:
        first = await store.create("k", b"a", ttl=TTL)
        await store.delete("k", b"a", first)
        second = await store.create("k", b"b", ttl=TTL)
        with pytest.raises(LeaseLost):
            await store.renew("k", b"a", first, ttl=TTL)
        await store.renew("k", b"b", second, ttl=TTL)

    async def test_a_renewal_whose_answer_was_lost_is_continued_by_its_own_value(
        self, store: LeaseStore
    ) -> None:
        first = await store.create("k", b"a", ttl=TTL)
        unheard = await store.renew("k", b"a", first, ttl=TTL)
        assert await store.renew("k", b"a", first, ttl=TTL) > unheard

    async def test_a_release_after_an_unheard_renewal_releases(self, store: LeaseStore) -> None:
        first = await store.create("k", b"a", ttl=TTL)
        await store.renew("k", b"a", first, ttl=TTL)
        await store.delete("k", b"a", first)
        await store.create("k", b"b", ttl=TTL)

    async def test_a_zombie_cannot_release_what_another_holds(self, store: LeaseStore) -> None:
        first = await store.create("k", b"a", ttl=TTL)
        await store.delete("k", b"a", first)
        await store.create("k", b"b", ttl=TTL)
        with pytest.raises(LeaseLost):
            await store.delete("k", b"a", first)
        with pytest.raises(LeaseTaken):
            await store.create("k", b"c", ttl=TTL)

    async def test_a_released_lease_cannot_be_renewed_or_released_again(
        self, store: LeaseStore
    ) -> None:
        first = await store.create("k", b"a", ttl=TTL)
        await store.delete("k", b"a", first)
        with pytest.raises(LeaseLost):
            await store.renew("k", b"a", first, ttl=TTL)
        with pytest.raises(LeaseLost):
            await store.delete("k", b"a", first)

    async def test_a_lease_expires_unless_it_is_renewed_and_can_then_be_taken(
        self, store: LeaseStore
    ) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        first = await store.create("k", b"a", ttl=1)
        await asyncio.sleep(0.6)
        renewed = await store.renew("k", b"a", first, ttl=1)
        while True:
            try:
                await store.create("k", b"b", ttl=TTL)
                break
            except LeaseTaken:
                await asyncio.sleep(0.05)
        assert 1.5 < loop.time() - started < 4
        with pytest.raises(LeaseLost):
            await store.renew("k", b"a", renewed, ttl=1)

    async def test_eight_contenders_never_hold_the_lease_together(self, store: LeaseStore) -> None:
        policy = LeasePolicy(ttl=2, margin=0.5, renew_every=0.1)
        holding = 0
        tokens: list[int] = []

        async def contend(name: str) -> None:
            nonlocal holding
            for _ in range(2):
                async with hold(
                    store, "k", lambda _: name.encode(), policy=policy, poll_every=0.01
                ) as lease:
                    holding += 1
                    assert holding == 1
                    tokens.append(lease.token)
                    await asyncio.sleep(0.02)
                    holding -= 1

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(contend(f"contender-{number}"))
        assert tokens == sorted(set(tokens))
        assert len(tokens) == 16


class TestMemoryLeaseStore(LeaseStoreSuite):
    @pytest.fixture
    def store(self) -> LeaseStore:
        return MemoryLeaseStore()


class TestJetStreamLeases(LeaseStoreSuite):
    @pytest.fixture
    async def store(self, connection: Connection) -> LeaseStore:
        return await JetStreamLeases.open(connection)
