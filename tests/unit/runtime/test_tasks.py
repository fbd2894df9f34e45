import asyncio
import os
import signal
from functools import partial

import pytest

from shared.runtime.tasks import (
    alongside,
    cancelled,
    endless,
    stopped_within,
    supervise,
    unless,
)


async def for_ever() -> None:
    await asyncio.sleep(1e9)


async def stubborn(times: int) -> None:
    """Swallows its cancellation `times` times, as a NATS publish on Python 3.11 can."""
    while times:
        try:
            await for_ever()
        except asyncio.CancelledError:
            times -= 1
    await for_ever()


async def fails() -> None:
    raise ZeroDivisionError


def others() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_work_alongside_ends_with_the_body() -> None:
    async with alongside(for_ever(), name="x"):
        await asyncio.sleep(1)
    assert not others()


async def test_work_alongside_ends_with_a_body_that_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        async with alongside(for_ever(), name="x"):
            raise ZeroDivisionError
    assert not others()


async def test_a_failure_alongside_surfaces_at_the_end_of_the_body() -> None:
    with pytest.raises(ZeroDivisionError):
        async with alongside(fails(), name="x"):
            await asyncio.sleep(1)


async def test_a_body_ends_when_the_event_comes_and_says_why() -> None:
    with pytest.raises(LookupError):
        async with unless(asyncio.sleep(5), LookupError()):
            await for_ever()
    assert now() == 5
    assert not others()


async def test_a_body_that_swallows_its_cancellation_is_ended_all_the_same() -> None:
    with pytest.raises(LookupError):
        async with unless(asyncio.sleep(5), LookupError()):
            await stubborn(3)
    assert now() == 8
    assert not others()


async def test_an_event_that_does_not_come_changes_nothing() -> None:
    async with unless(for_ever(), LookupError()):
        await asyncio.sleep(5)
    assert not others()


async def test_a_time_limit_of_the_body_is_not_mistaken_for_the_event() -> None:
    with pytest.raises(TimeoutError):
        async with unless(for_ever(), LookupError()), asyncio.timeout(1):
            await for_ever()


async def test_a_cancellation_from_outside_passes_through_a_body_that_waits_for_an_event() -> None:
    async def wait() -> None:
        async with unless(for_ever(), LookupError()):
            await for_ever()

    task = asyncio.create_task(wait())
    await asyncio.sleep(1)
    await cancelled(task)
    assert task.cancelled()
    assert not others()


async def test_work_alongside_may_end_before_the_body() -> None:
    async with alongside(asyncio.sleep(1), name="x"):
        await asyncio.sleep(2)


async def test_a_swallowed_cancellation_is_repeated() -> None:
    task = asyncio.create_task(stubborn(3))
    await asyncio.sleep(0)
    await cancelled(task)
    assert task.cancelled()
    assert now() == 3


async def test_cancelling_waits_for_tasks_that_clean_up_and_does_not_mind_failed_ones() -> None:
    async def cleans_up() -> None:
        try:
            await for_ever()
        finally:
            await asyncio.sleep(0.5)

    tasks = [asyncio.create_task(work()) for work in (cleans_up, fails, for_ever)]
    await asyncio.sleep(0)
    await cancelled(*tasks)
    assert all(task.done() for task in tasks)
    assert isinstance(tasks[1].exception(), ZeroDivisionError)


async def test_a_worker_that_fails_stops_the_others() -> None:
    ended: list[str] = []

    async def broken(stop: asyncio.Event) -> None:
        await asyncio.sleep(1)
        raise ZeroDivisionError

    async def waits(stop: asyncio.Event) -> None:
        try:
            await stop.wait()
        finally:
            ended.append("waits")

    with pytest.raises(ExceptionGroup) as caught:
        await supervise(broken, waits, grace=3)
    assert caught.group_contains(ZeroDivisionError)
    assert ended == ["waits"]
    assert now() == 1


async def test_a_worker_that_fails_ends_the_process_even_if_another_swallows_its_cancellation() -> (
    None
):
    async def broken(stop: asyncio.Event) -> None:
        await asyncio.sleep(1)
        raise ZeroDivisionError

    async def deaf(stop: asyncio.Event) -> None:
        await stubborn(3)

    with pytest.raises(ExceptionGroup) as caught:
        await supervise(broken, deaf, grace=3)
    assert caught.group_contains(ZeroDivisionError)
    assert now() < 10


async def test_a_worker_that_returns_early_is_a_failure_that_names_it() -> None:
    async def returns(stop: asyncio.Event) -> None: ...

    with pytest.raises(ExceptionGroup) as caught:
        await supervise(returns, grace=3)
    assert caught.group_contains(RuntimeError, match="returns returned before")


async def test_a_partial_can_be_a_worker_and_is_named_by_its_function() -> None:
    async def numbered(number: int, stop: asyncio.Event) -> None: ...

    with pytest.raises(ExceptionGroup) as caught:
        await supervise(partial(numbered, 7), grace=3)
    assert caught.group_contains(RuntimeError, match="numbered returned before")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_workers_finish_and_cancels_them_after_the_grace(
    signum: signal.Signals,
) -> None:
    finished: list[str] = []

    async def slow(stop: asyncio.Event) -> None:
        await asyncio.sleep(1000)
        finished.append("slow")

    async def finishes(stop: asyncio.Event) -> None:
        await stop.wait()
        await asyncio.sleep(2)
        finished.append("finishes")

    async with alongside(signal_after(10, signum), name="signal"):
        await supervise(slow, finishes, grace=3)
    assert finished == ["finishes"]
    # The loop's timers jump while the signal travels through its pipe.
    assert 13 <= now() < 1000


async def test_a_worker_that_fails_during_the_grace_surfaces() -> None:
    async def fails_late(stop: asyncio.Event) -> None:
        await stop.wait()
        raise ZeroDivisionError

    async with alongside(signal_after(1, signal.SIGTERM), name="signal"):
        with pytest.raises(ExceptionGroup) as caught:
            await supervise(fails_late, lambda stop: for_ever(), grace=1e6)
    assert caught.group_contains(ZeroDivisionError)


async def test_endless_work_is_cancelled_when_its_worker_is_asked_to_stop() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(2, stop.set)
    await endless(for_ever)(stop)
    assert now() == 2
    assert not others()


async def test_endless_work_that_fails_fails_its_worker() -> None:
    with pytest.raises(ZeroDivisionError):
        await endless(fails)(asyncio.Event())
    assert not others()


async def test_endless_work_that_returns_is_a_failure_like_any_other() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await supervise(endless(partial(asyncio.sleep, 1)), grace=1)
    assert caught.group_contains(RuntimeError, match="returned before")


async def test_cancelling_the_worker_cancels_its_endless_work() -> None:
    worker = asyncio.create_task(endless(for_ever)(asyncio.Event()))
    await asyncio.sleep(1)
    await cancelled(worker)
    assert not others()


async def test_a_sleep_ends_when_asked_to_stop() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(2, stop.set)
    assert await stopped_within(stop, 10)
    assert now() == 2


async def test_a_sleep_says_when_nobody_asked_it_to_stop() -> None:
    assert not await stopped_within(asyncio.Event(), 10)
    assert now() == 10


async def signal_after(seconds: float, signum: signal.Signals) -> None:
    await asyncio.sleep(seconds)
    os.kill(os.getpid(), signum)
