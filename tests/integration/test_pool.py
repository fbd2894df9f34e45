"""The training pool, with real processes: whatever a child does is that job's failure alone."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import replace

import psutil
import pytest

from services.trainer.adapters.pool import Isolation, TrainingPool, scheduling
from services.trainer.domain.drift import measure
from services.trainer.domain.failures import Crashed, DeadlineExceeded, OutOfMemory, Unsound
from services.trainer.domain.jobs import DriftJob, FitResult, Inputs
from shared.contracts.errors import AppError, InvalidSymbol, NotEnoughHistory, TrainingFailed
from shared.contracts.symbols import Symbol
from shared.model.artifact import decode
from shared.runtime.tasks import alongside
from tests.support.jobs import daily_job, job_for
from tests.support.markets import clustered, random_walk
from tests.support.misbehaving import result
from tests.support.trainer_to_be_killed import ENTRY

INPUTS = Inputs(candles=random_walk(500).tobytes())

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="isolation is the kernel's")


@pytest.fixture
async def pool() -> AsyncIterator[TrainingPool]:
    async with TrainingPool(2, memory_mb=256, entry=ENTRY) as opened:
        yield opened
    assert _descendants() == []


async def _run(
    pool: TrainingPool, symbol: str, *, deadline_s: float = 30.0, pids: list[int] | None = None
) -> FitResult:
    def hear(stage: str, done: float) -> None:
        if pids is not None:
            pids.append(int(stage.removeprefix("pid ")))

    return await pool.run(job_for(symbol), INPUTS, deadline_s=deadline_s, on_progress=hear)


def _descendants() -> list[psutil.Process]:
    """Without a browser or server that some other test may have left to a fixture."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "services.trainer.adapters.forkserver" in _command(process)
    ]


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:  # or a zombie
        return []


async def _begun(pool: TrainingPool, symbol: str) -> tuple[asyncio.Task[FitResult], int]:
    """A job whose child has begun, and that child's process id."""
    begun = asyncio.get_running_loop().create_future()

    def hear(stage: str, done: float) -> None:
        begun.set_result(int(stage.removeprefix("pid ")))

    running = pool.run(job_for(symbol), INPUTS, deadline_s=30.0, on_progress=hear)
    return asyncio.create_task(running), await begun


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def _gone(pid: int, *, within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while _alive(pid):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # it is no child of ours: nothing will tell us


async def test_a_result_arrives_as_the_child_gave_it(pool: TrainingPool) -> None:
    assert await _run(pool, "GOOD") == result(job_for("GOOD"), INPUTS)


@pytest.mark.parametrize(
    ("symbol", "kind", "text"),
    [
        ("SEGFAULT", Crashed, "killed by SIGSEGV"),
        ("ABORT", Crashed, "killed by SIGABRT"),
        ("KILLED", Crashed, "killed by SIGKILL.*memory"),
        ("EXIT", Crashed, "exit code 0 and without an answer"),
        ("QUIT", Crashed, "exit code"),
        ("BABBLE", Crashed, "no proper answer"),
        ("BUG", Crashed, r"ZeroDivisionError: by nothing \(misbehaving.py:\d+\)"),
        ("MEMORY", OutOfMemory, "more than its 256 MB"),
        ("MEMORY-IN-A-LIBRARY", OutOfMemory, "bad_alloc"),
        ("UNSOUND", Unsound, "^the trees differ$"),
        ("YOUNG", NotEnoughHistory, "^3 days; 180 are needed$"),
    ],
)
async def test_what_a_child_does_is_its_jobs_typed_failure_and_the_next_job_succeeds(
    pool: TrainingPool, symbol: str, kind: type[AppError], text: str
) -> None:
    with pytest.raises(AppError, match=text) as raised:
        await _run(pool, symbol)
    assert type(raised.value) is kind
    await _run(pool, "GOOD")


async def test_an_error_that_words_itself_arrives_with_the_same_words(pool: TrainingPool) -> None:
    with pytest.raises(InvalidSymbol) as raised:
        await _run(pool, "WORDED")
    assert str(raised.value) == str(InvalidSymbol("a b"))


def test_the_kinds_of_failure_have_codes_of_their_own() -> None:
    codes = {kind.code for kind in (Crashed, DeadlineExceeded, OutOfMemory, Unsound)}
    assert codes == {"crashed", "deadline", "out_of_memory", "unsound"}
    assert issubclass(Crashed, TrainingFailed)


@pytest.mark.parametrize("symbol", ["HANG", "DEAF"])
async def test_a_child_that_hangs_is_ended_at_its_deadline(pool: TrainingPool, symbol: str) -> None:
    await pool.isolation()
    pids: list[int] = []
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"longer than 0\.5 s"):
        await _run(pool, symbol, deadline_s=0.5, pids=pids)
    assert time.monotonic() - started < 5.0
    assert not psutil.pid_exists(pids[0])


async def test_megabytes_that_a_child_prints_are_nobodys_business(
    pool: TrainingPool, capfd: pytest.CaptureFixture[str]
) -> None:
    await _run(pool, "SHOUT")
    assert capfd.readouterr() == ("", "")


async def test_every_job_has_a_process_of_its_own(pool: TrainingPool) -> None:
    pids: list[int] = []
    await _run(pool, "GOOD", pids=pids)
    (server,) = _descendants()
    await _run(pool, "GOOD", pids=pids)
    assert len({server.pid, *pids}) == 3
    assert _descendants() == [server]


async def test_a_thread_that_is_left_keeps_no_child_alive(pool: TrainingPool) -> None:
    pids: list[int] = []
    await _run(pool, "THREAD", pids=pids)
    assert not psutil.pid_exists(pids[0])


async def test_cancelling_kills_the_child_and_frees_its_place(pool: TrainingPool) -> None:
    for _ in range(3):
        job, child = await _begun(pool, "DEAF")
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert not psutil.pid_exists(child)
    await _run(pool, "GOOD")


async def test_cancelling_before_the_fork_server_is_warm_leaks_nothing() -> None:
    async with TrainingPool(1, memory_mb=256, entry=ENTRY) as pool:
        job = asyncio.create_task(_run(pool, "GOOD"))
        await asyncio.sleep(0)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        await _run(pool, "GOOD")
    assert _descendants() == []


async def test_no_more_jobs_run_at_once_than_there_are_processes(pool: TrainingPool) -> None:
    await pool.isolation()
    most = 0
    async with asyncio.TaskGroup() as group:
        jobs = [group.create_task(_run(pool, "SLOW")) for _ in range(5)]
        while not all(job.done() for job in jobs):
            most = max(most, len(_descendants()) - 1)
            await asyncio.sleep(0.01)
    assert most == 2


async def test_crashes_do_not_disturb_the_jobs_beside_them(pool: TrainingPool) -> None:
    async with asyncio.TaskGroup() as group:
        good = [group.create_task(_run(pool, "SLOW")) for _ in range(3)]
        for symbol in ("SEGFAULT", "ABORT", "KILLED"):
            with pytest.raises(Crashed):
                await _run(pool, symbol)
    assert all(job.result() == result(job_for("SLOW"), INPUTS) for job in good)


async def test_the_loop_is_never_blocked(pool: TrainingPool) -> None:
    """The candles are larger than any socket's buffer, and the child lets them wait."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            longest = max(longest, time.monotonic() - before)

    watching = asyncio.create_task(watch())
    await pool.run(
        job_for("SLOW"),
        Inputs(candles=INPUTS.candles * 200),
        deadline_s=30.0,
        on_progress=lambda stage, done: None,
    )
    watching.cancel()
    assert longest < 0.25


async def test_a_dead_fork_server_fails_its_jobs_and_is_replaced(pool: TrainingPool) -> None:
    hanging, child = await _begun(pool, "HANG")
    server = psutil.Process(child).ppid()
    os.kill(server, signal.SIGKILL)
    with pytest.raises(Crashed, match="fork server"):
        await hanging
    await _gone(child)
    await _gone(server)
    await _run(pool, "GOOD")


async def test_a_fork_server_that_died_idle_is_replaced_unnoticed(pool: TrainingPool) -> None:
    await _run(pool, "GOOD")
    (server,) = _descendants()
    server.kill()
    await _gone(server.pid)
    assert await _run(pool, "GOOD") == result(job_for("GOOD"), INPUTS)


async def test_a_fork_server_that_cannot_start_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    async with TrainingPool(2, memory_mb=256, entry="no.such.module:fit") as pool:
        jobs = [asyncio.create_task(_run(pool, "GOOD")) for _ in range(2)]
        for job in jobs:
            with pytest.raises(Crashed, match="did not start"):
                await job
    assert "No module named 'no'" in capfd.readouterr().err


@pytest.mark.parametrize("symbol", ["HANG", "DEAF"])
async def test_no_process_outlives_a_trainer_that_is_killed(symbol: str) -> None:
    trainer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.trainer_to_be_killed", symbol, stdout=PIPE
    )
    assert trainer.stdout is not None
    child = int(await trainer.stdout.readline())
    server = psutil.Process(child).ppid()
    trainer.kill()
    await trainer.wait()
    await _gone(child)
    await _gone(server)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_the_whole_process_group_ends_no_job(
    pool: TrainingPool, signum: signal.Signals
) -> None:
    """A supervisor asks the group to stop; the trainer alone decides what becomes of its jobs."""
    job, _ = await _begun(pool, "SLOW")
    for process in _descendants():
        process.send_signal(signum)
    assert await job == result(job_for("SLOW"), INPUTS)


async def test_children_yield_to_everything_else_in_their_parents_session(
    pool: TrainingPool,
) -> None:
    assert await pool.isolation() == Isolation(
        "SCHED_IDLE, 1 thread, at most 256 MB more per job", competes=False
    )
    job, child = await _begun(pool, "SLOW")
    assert os.sched_getscheduler(child) == os.SCHED_IDLE
    assert os.getsid(child) == os.getsid(0)
    assert os.getpgid(child) == os.getpgid(0)
    await job


def test_a_process_of_everyday_priority_is_said_to_compete() -> None:
    seen = scheduling(os.getpid())
    assert (seen.competes, seen.summary[:7]) == (True, "nice 0,")


async def test_a_real_job_is_trained_in_a_child_that_the_parent_need_not_resemble() -> None:
    stages: list[str] = []
    async with TrainingPool(1, memory_mb=256) as pool:
        assert "1 thread," in (await pool.isolation()).summary  # the libraries have started none
        trained = await pool.run(
            daily_job(horizons=(1, 3), rounds=20),
            INPUTS,
            deadline_s=60.0,
            on_progress=lambda stage, done: stages.append(stage),
        )
    assert decode(trained.artifact).card.horizons == (1, 3)
    assert stages[0] == "features"
    assert stages[-1] == "checking"


async def test_the_parent_imports_no_numbers() -> None:
    code = "import sys, services.trainer.adapters.pool; print(*sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=PIPE)
    out, _ = await process.communicate()
    modules = set(out.decode().split())
    assert not modules & {"numpy", "xgboost", "lightgbm", "catboost", "pandas", "scipy"}


async def test_a_pool_that_has_nothing_to_do_gives_its_memory_back(pool: TrainingPool) -> None:
    stop = asyncio.Event()
    await _run(pool, "GOOD")
    (server,) = _descendants()
    resting = asyncio.create_task(pool.rest_when_idle(stop, after_s=0.2))
    await _gone(server.pid)
    assert (await _run(pool, "GOOD")).artifact
    stop.set()
    await resting


async def test_a_look_for_drift_waits_for_no_training_and_keeps_none_waiting() -> None:
    candles = clustered(1400)
    drift = DriftJob(
        symbol=Symbol("BTC/USDT"),
        model_version="v1",
        rows=1000,
        candle_at_ms=int(candles["at"][-101]),
        longest_horizon=30,
    )
    inputs = Inputs(candles=candles.tobytes())
    async with TrainingPool(1, memory_mb=300, entry=ENTRY) as pool:

        async def train() -> None:
            await _run(pool, "HANG", deadline_s=120)

        async with alongside(train(), name="training"), asyncio.timeout(60):
            seen = await pool.measure(drift, inputs, deadline_s=60)
            with pytest.raises(NotEnoughHistory, match="0 candles of BTC/USDT"):
                late = replace(drift, candle_at_ms=int(candles["at"][-1]))
                await pool.measure(late, inputs, deadline_s=60)
    assert seen == measure(drift, inputs)
