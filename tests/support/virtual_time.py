"""An event loop whose clock jumps to the next timer whenever every task is waiting.

`asyncio.sleep(30)` takes no wall time and every timeout fires in a fixed order. For tests without
real I/O: a loop with nothing scheduled can never wake up, so it raises instead of hanging. A thread
(`asyncio.to_thread`) is waited for in real time, since its result comes through no timer.
"""

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._now = 0.0
        self._threads = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds

    @property
    def waits_for_a_thread(self) -> bool:
        return self._threads > 0

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        self._threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_ended)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        self._threads += 1
        await super().shutdown_default_executor(*args)
        self._threads -= 1

    def _thread_ended(self, _: object) -> None:
        self._threads -= 1


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if ready := super().select(0):
            return ready
        if self._loop.waits_for_a_thread and timeout != 0:
            return super().select()
        if timeout is None:
            raise RuntimeError("deadlock: every task waits and no timer is set")
        self._loop.jump(timeout)
        return []
