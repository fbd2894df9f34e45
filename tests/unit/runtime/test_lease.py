import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.errors import LeaseLost, LeaseTaken, Unavailable
from shared.runtime.lease import LeasePolicy, hold
from tests.support.stores import MemoryLeaseStore
from tests.support.virtual_time import VirtualTimeLoop

POLICY = LeasePolicy(ttl=30, margin=5, renew_every=8)


def mine(token: int) -> bytes:
    return f"a {token}".encode()


async def work_under_lease(store: MemoryLeaseStore, seconds: float = 300) -> None:
    async with hold(store, "btc", mine, policy=POLICY):
        await asyncio.sleep(seconds)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_renewed_lease_outlives_its_ttl_and_is_released_at_the_end() -> None:
    store = MemoryLeaseStore()
    async with hold(store, "btc", mine, policy=POLICY):
        await asyncio.sleep(300)
        assert store.value("btc") is not None
    assert store.value("btc") is None


async def test_a_partition_cancels_the_work_before_the_ttl() -> None:
    store = MemoryLeaseStore()
    with pytest.raises(LeaseLost):
        async with hold(store, "btc", mine, policy=POLICY):
            store.partitioned = True
            await asyncio.sleep(300)
    assert now() == POLICY.ttl - POLICY.margin


async def test_a_partition_that_heals_in_time_is_survived() -> None:
    store = MemoryLeaseStore()
    async with hold(store, "btc", mine, policy=POLICY):
        store.partitioned = True
        await asyncio.sleep(20)
        store.partitioned = False
        await asyncio.sleep(200)
    assert store.value("btc") is None


async def test_a_slow_renewal_does_not_stretch_the_trust() -> None:
    store = MemoryLeaseStore()
    with pytest.raises(LeaseLost):
        async with hold(store, "btc", mine, policy=POLICY):
            store.latency = 10
            await asyncio.sleep(300)
    # Renewed once, asked at 8 s: trusted until 33 s. The second renewal would answer at 36 s.
    assert now() == 33


async def test_a_slow_acquisition_counts_against_the_trust() -> None:
    store = MemoryLeaseStore()
    store.latency = 10
    asyncio.get_running_loop().call_later(11, setattr, store, "partitioned", True)
    with pytest.raises(LeaseLost):
        async with hold(store, "btc", mine, policy=POLICY):
            await asyncio.sleep(300)
    assert now() == POLICY.ttl - POLICY.margin


@pytest.mark.parametrize("answers_at", [24.999, 25 - 1e-10, 25, 25.001])
async def test_a_renewal_that_answers_at_the_deadline_is_either_in_time_or_lost(
    answers_at: float,
) -> None:
    store = MemoryLeaseStore()
    with pytest.raises(LeaseLost):
        async with hold(store, "btc", mine, policy=POLICY):
            store.latency = answers_at - POLICY.renew_every
            await asyncio.sleep(300)


async def test_a_taken_over_lease_is_noticed_at_the_next_renewal_and_left_alone() -> None:
    store = MemoryLeaseStore()
    with pytest.raises(LeaseLost):
        async with hold(store, "btc", mine, policy=POLICY):
            store.take_over("btc", b"b")
            await asyncio.sleep(300)
    assert now() == POLICY.renew_every
    assert store.value("btc") == b"b"


async def test_a_renewal_whose_answer_was_lost_is_recognised_as_our_own() -> None:
    store = MemoryLeaseStore()
    async with hold(store, "btc", mine, policy=POLICY):
        store.lost_answers = 1
        await asyncio.sleep(200)
    assert store.value("btc") is None


async def test_a_lease_whose_last_answer_was_lost_is_released_all_the_same() -> None:
    store = MemoryLeaseStore()
    async with hold(store, "btc", mine, policy=POLICY):
        store.lost_answers = 1
        await asyncio.sleep(POLICY.renew_every + 1)
        assert store.lost_answers == 0
    assert store.value("btc") is None


async def test_a_taken_lease_does_not_run_the_body() -> None:
    store = MemoryLeaseStore()
    store.take_over("btc", b"b")
    with pytest.raises(LeaseTaken):
        async with hold(store, "btc", mine, policy=POLICY):
            pytest.fail("ran")


async def test_a_taken_lease_can_be_waited_for() -> None:
    store = MemoryLeaseStore()
    store.take_over("btc", b"b", ttl=11)
    async with hold(store, "btc", mine, policy=POLICY, poll_every=2):
        assert now() == 12


async def test_waiting_for_a_lease_does_not_use_up_its_trust() -> None:
    store = MemoryLeaseStore()
    store.take_over("btc", b"b", ttl=100)
    with pytest.raises(LeaseLost):
        async with hold(store, "btc", mine, policy=POLICY, poll_every=1):
            store.partitioned = True
            await asyncio.sleep(300)
    assert now() == 100 + POLICY.ttl - POLICY.margin


async def test_a_store_out_of_reach_does_not_run_the_body() -> None:
    store = MemoryLeaseStore()
    store.partitioned = True
    with pytest.raises(Unavailable):
        async with hold(store, "btc", mine, policy=POLICY):
            pytest.fail("ran")


async def test_the_token_is_larger_for_every_later_holder() -> None:
    store = MemoryLeaseStore()
    tokens = []
    for _ in range(3):
        async with hold(store, "btc", mine, policy=POLICY) as lease:
            await asyncio.sleep(20)
            tokens.append(lease.token)
    assert tokens == sorted(set(tokens))


async def test_the_inscription_names_the_token_before_the_body_begins() -> None:
    store = MemoryLeaseStore()
    async with hold(store, "btc", mine, policy=POLICY) as lease:
        assert store.value("btc") == mine(lease.token)
        assert (lease.key, lease.epoch) == ("btc", store.epoch)


async def test_the_error_of_the_body_is_not_wrapped() -> None:
    store = MemoryLeaseStore()
    with pytest.raises(ZeroDivisionError):
        async with hold(store, "btc", mine, policy=POLICY):
            raise ZeroDivisionError
    assert store.value("btc") is None


async def test_a_timeout_of_the_body_is_not_mistaken_for_a_lost_lease() -> None:
    with pytest.raises(TimeoutError):
        async with hold(MemoryLeaseStore(), "btc", mine, policy=POLICY), asyncio.timeout(1):
            await asyncio.sleep(2)


async def test_a_timeout_around_the_lease_stays_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(40):
            await work_under_lease(MemoryLeaseStore())
    assert now() == 40


async def test_cancelling_the_holder_releases_the_lease() -> None:
    store = MemoryLeaseStore()
    task = asyncio.create_task(work_under_lease(store))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.value("btc") is None
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_work_that_swallows_its_cancellation_is_cancelled_again() -> None:
    store = MemoryLeaseStore()
    swallowed = 0
    with pytest.raises(LeaseLost):
        async with hold(store, "btc", mine, policy=POLICY):
            store.partitioned = True
            while swallowed < 3:
                try:
                    await asyncio.sleep(300)
                except asyncio.CancelledError:
                    swallowed += 1
            await asyncio.sleep(300)
    assert now() < POLICY.ttl + POLICY.renew_every
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_work_that_ends_well_after_the_loss_is_not_called_done() -> None:
    store = MemoryLeaseStore()
    with pytest.raises(LeaseLost):
        async with hold(store, "btc", mine, policy=POLICY):
            store.partitioned = True
            try:
                await asyncio.sleep(300)
            except asyncio.CancelledError:
                await asyncio.sleep(0)


@given(
    st.lists(st.tuples(st.floats(0, 40), st.booleans()), max_size=8),
    st.floats(0, 6),
    st.floats(0, 2),
)
def test_whatever_the_network_does_the_holder_lets_go_before_the_store_does(
    outages: list[tuple[float, bool]], latency: float, answer_lost: float
) -> None:
    """A second holder waits for the key; its work must never overlap with the first one's."""
    store = MemoryLeaseStore()
    working: set[str] = set()

    async def contend(name: str) -> None:
        try:
            async with hold(
                store, "btc", lambda t: f"{name}{t}".encode(), policy=POLICY, poll_every=1
            ):
                assert not working
                working.add(name)
                try:
                    await asyncio.sleep(60)
                finally:
                    working.discard(name)
        except (LeaseLost, Unavailable):
            pass

    async def disturb() -> None:
        for seconds, partitioned in outages:
            store.partitioned = partitioned
            store.latency = latency
            store.lost_answers = round(answer_lost)
            await asyncio.sleep(seconds)
        store.partitioned = False

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for work in (contend("a"), contend("b"), disturb()):
                group.create_task(work)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
