import asyncio
import time

import pytest


async def test_a_sleep_takes_virtual_time_only() -> None:
    started = time.monotonic()
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() == 3600
    assert time.monotonic() - started < 1


async def test_a_thread_is_waited_for_and_no_timer_jumps_past_it() -> None:
    async with asyncio.timeout(5):
        await asyncio.to_thread(time.sleep, 0.05)
    assert asyncio.get_running_loop().time() == 0


async def test_a_deadlock_is_an_error_instead_of_a_hang() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(RuntimeError, match="deadlock"):
        loop._selector.select(None)  # type: ignore[attr-defined]


@pytest.mark.real_time
async def test_a_marked_test_runs_in_real_time() -> None:
    started = time.monotonic()
    await asyncio.sleep(0.02)
    assert time.monotonic() - started > 0.01
