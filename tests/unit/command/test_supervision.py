import asyncio
from dataclasses import dataclass, field

import pytest

from evertrain.supervision import Child, Patience, Restarts, Stop, keep_all_running

PATIENCE = Patience(first_delay=1.0, most_delay=8.0, healthy_after=30.0)


@dataclass
class History:
    """What happened, with the loop's time."""

    lines: list[tuple[float, str]] = field(default_factory=list)

    def note(self, what: str) -> None:
        self.lines.append((asyncio.get_running_loop().time(), what))

    def of(self, kind: str) -> list[float]:
        return [at for at, what in self.lines if what.startswith(kind)]


class FakeProcess:
    """Lives for `lives` seconds, and stops `obeys_after` seconds after it is asked to."""

    def __init__(self, name: str, history: History, *, lives: float, obeys_after: float) -> None:
        self._name = name
        self._history = history
        self._lives = lives
        self._obeys_after = obeys_after
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(lives, self._end, 1)

    async def ended(self) -> int:
        return await asyncio.shield(self._code)

    def terminate(self) -> None:
        self._history.note(f"terminate {self._name}")
        asyncio.get_running_loop().call_later(self._obeys_after, self._end, 0)

    def kill(self) -> None:
        self._end(-9)

    def _end(self, code: int) -> None:
        if not self._code.done():
            self._history.note(f"{'killed' if code == -9 else 'ended'} {self._name}")
            self._code.set_result(code)


def child(
    history: History, name: str = "trainer", *, lives: float = 1e6, obeys_after: float = 0.1
) -> Child:
    async def start() -> FakeProcess:
        history.note(f"start {name}")
        return FakeProcess(name, history, lives=lives, obeys_after=obeys_after)

    return Child(name, start, PATIENCE)


@pytest.fixture
async def stop() -> Stop:
    return Stop()


def at(seconds: float, stop: Stop) -> None:
    asyncio.get_running_loop().call_later(seconds, stop.signalled)


def test_each_early_death_doubles_the_delay_up_to_a_limit() -> None:
    restarts = Restarts(PATIENCE)
    assert [restarts.delay_after(0.1) for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_a_process_that_was_healthy_is_restarted_as_if_for_the_first_time() -> None:
    restarts = Restarts(PATIENCE)
    for _ in range(5):
        restarts.delay_after(0.1)
    assert restarts.delay_after(30.0) == 1.0
    assert restarts.delay_after(0.1) == 2.0


async def test_a_child_that_dies_is_started_again_after_its_delay(stop: Stop) -> None:
    history = History()
    at(20, stop)
    await keep_all_running([child(history, lives=1.0)], stop, grace=5)
    assert history.of("start") == [0.0, 2.0, 5.0, 10.0, 19.0]


async def test_one_death_leaves_the_others_running(stop: Stop) -> None:
    history = History()
    at(10, stop)
    children = [child(history, "gateway"), child(history, "trainer", lives=3.0)]
    await keep_all_running(children, stop, grace=5)
    assert history.of("start gateway") == [0.0]
    assert len(history.of("start trainer")) > 1


async def test_the_last_one_started_is_asked_first_to_stop(stop: Stop) -> None:
    history = History()
    at(3, stop)
    await keep_all_running([child(history, name) for name in "abc"], stop, grace=5)
    asked = [what for _, what in history.lines if what.startswith("terminate")]
    assert asked == ["terminate c", "terminate b", "terminate a"]


async def test_a_child_that_does_not_stop_is_killed_after_the_grace(stop: Stop) -> None:
    history = History()
    at(3, stop)
    children = [child(history, "deaf", obeys_after=1e6), child(history, "good")]
    await keep_all_running(children, stop, grace=5)
    assert history.of("killed deaf") == [8.0]
    assert history.of("killed good") == []


async def test_a_second_signal_kills_at_once(stop: Stop) -> None:
    history = History()
    at(3, stop)
    at(4.5, stop)
    await keep_all_running([child(history, "deaf", obeys_after=1e6)], stop, grace=5)
    assert history.of("killed deaf") == [4.5]


async def test_one_key_press_that_arrives_twice_is_one_signal(stop: Stop) -> None:
    history = History()
    at(3, stop)
    at(3.01, stop)
    await keep_all_running([child(history, "slow", obeys_after=2)], stop, grace=5)
    assert history.of("ended slow") == [5.0]


async def test_a_stop_ends_the_wait_for_a_restart(stop: Stop) -> None:
    history = History()
    at(1.5, stop)
    await keep_all_running([child(history, lives=1.0)], stop, grace=5)
    assert asyncio.get_running_loop().time() == pytest.approx(1.5)
    assert history.of("start") == [0.0]


async def test_a_child_that_was_being_started_when_the_stop_came_is_stopped_too(stop: Stop) -> None:
    history = History()

    async def start_slowly() -> FakeProcess:
        await asyncio.sleep(2)
        return FakeProcess("late", history, lives=1e6, obeys_after=0.1)

    at(1, stop)
    await keep_all_running([Child("late", start_slowly, PATIENCE)], stop, grace=5)
    assert history.of("ended late") == [pytest.approx(2.1)]
