"""The ways to run something beside something else: for as long as a body runs (`alongside`), to end
a body early (`unless`), and as equals (`supervise`). There are no others in this codebase.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

#: Runs until the event is set, then finishes what it holds and returns.
Worker = Callable[[asyncio.Event], Coroutine[Any, Any, None]]

#: A cancellation can be swallowed inside a NATS publish on Python 3.11, so it is repeated.
_CANCEL_AGAIN_S = 1.0


@asynccontextmanager
async def alongside(work: Coroutine[Any, Any, None], *, name: str) -> AsyncIterator[None]:
    """Run `work` while the body runs, then cancel it. If `work` failed, raise that on exit."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        await cancelled(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


@asynccontextmanager
async def unless(event: Coroutine[Any, Any, None], reason: Exception) -> AsyncIterator[None]:
    """Run the body unless, or until, `event` returns; then cancel the body and raise `reason`.

    A body that ends in the moment in which `event` returns may end either way.
    """
    body = asyncio.current_task()
    assert body is not None
    scope = asyncio.timeout(None)

    async def end_the_body() -> None:
        await event
        scope.reschedule(asyncio.get_running_loop().time())
        await insist_on_cancelling(body)

    try:
        async with scope, alongside(end_the_body(), name=f"unless {reason}"):
            yield
    except TimeoutError as exc:
        if scope.expired():
            raise reason from exc
        raise


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks and wait until each has ended, whatever its outcome."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_S)


async def insist_on_cancelling(task: asyncio.Task[Any]) -> None:
    """Cancel a task that was cancelled already, again and again, until this is cancelled itself.

    What it adds to the task's count of cancellations it takes back at its end, so that the timeout
    or group that cancelled the task first still recognises its own cancellation.
    """
    repeats = 0
    try:
        while True:
            await asyncio.sleep(_CANCEL_AGAIN_S)
            task.cancel()
            repeats += 1
    finally:
        for _ in range(repeats):
            task.uncancel()


async def supervise(*workers: Worker, grace: float) -> None:
    """Run every worker until one fails or the process is asked to stop.

    On SIGTERM or SIGINT the stop event is set: workers take no new work and finish what they hold.
    Those still busy after `grace` seconds are cancelled.

    Raises:
        ExceptionGroup: at least one worker failed. Let it end the process; the supervisor
            restarts it, and what was unacknowledged is redelivered.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_must_outlive(worker, stop), name=_name(worker))
                for worker in workers
            ]
            try:
                await stop.wait()
                await asyncio.wait(tasks, timeout=grace)
            finally:
                # When a worker fails, the group cancels the others, but only once.
                await cancelled(*tasks)
    finally:
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signum)


def endless(work: Callable[[], Coroutine[Any, Any, None]]) -> Worker:
    """The worker that runs `work`, which never returns by itself, and cancels it on `stop`."""

    async def worker(stop: asyncio.Event) -> None:
        task = asyncio.create_task(work(), name=_name(work))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            await cancelled(task, stopped)

    return worker


async def _must_outlive(worker: Worker, stop: asyncio.Event) -> None:
    await worker(stop)
    if not stop.is_set():
        raise RuntimeError(f"{_name(worker)} returned before it was asked to stop")


def _name(work: Callable[..., object]) -> str:
    while isinstance(work, partial):
        work = work.func
    return getattr(work, "__qualname__", repr(work))


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Sleep, but wake at once when `stop` is set; says whether it is."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
