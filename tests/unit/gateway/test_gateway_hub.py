import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from services.gateway.domain import limits
from services.gateway.domain.access import Role
from services.gateway.domain.channels import EVERY_PREDICTION, SYSTEM, TRAINING, Channel, Topic
from services.gateway.domain.numbering import Numbers
from services.gateway.domain.pace import Pace
from services.gateway.domain.wire import Close, Position
from services.gateway.hub import Hub
from services.gateway.sessions import Session
from shared.contracts.symbols import Symbol
from shared.runtime.tasks import alongside
from tests.support.lines import MemoryLine

AT = datetime(2026, 11, 20, tzinfo=UTC)
CANDLES = Channel(Topic.CANDLES, Symbol("BTC/USDT"))


class Shelf:
    """Snapshots by channel; what is not on it is being fetched."""

    def __init__(self) -> None:
        self.data: dict[Channel, bytes] = {SYSTEM: b'"fine"', TRAINING: b"{}"}
        self.asked: list[Channel] = []

    def snapshot(self, channel: Channel) -> bytes | None:
        self.asked.append(channel)
        return self.data.get(channel)


class Clocked:
    """Notes how long things took."""

    def __init__(self) -> None:
        self.fan_outs: list[float] = []
        self.lags: list[float] = []

    def fanned_out(self, seconds: float) -> None:
        self.fan_outs.append(seconds)

    def told(self, seconds: float) -> None:
        self.lags.append(seconds)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def clocked() -> Clocked:
    return Clocked()


@pytest.fixture
async def hub(shelf: Shelf, clocked: Clocked) -> AsyncIterator[Hub]:
    hub = Hub(epoch="v1", sources=shelf, clock=lambda: AT, timings=clocked)
    hub.begin(Numbers("e1"))
    async with alongside(hub.deliver(), name="deliver"):
        yield hub


def client(
    hub: Hub, *, room: int | None = None, capacity: int = limits.OUTBOX
) -> tuple[MemoryLine, Session]:
    line = MemoryLine()
    pace = Pace(per_second=1, burst=1, now=0)
    session = Session("s", line, role=Role.READ, account="a", pace=pace, capacity=capacity)
    line.session = session
    hub.join(session)
    line.frames.clear()
    line.room = room
    return line, session


def tell(hub: Hub, channel: Channel, number: int, key: str = "") -> None:
    hub.publish(channel, str(number).encode(), at=AT, key=key)


async def turn(published: int = 30) -> None:
    """Let everything that was published reach the lines."""
    for _ in range(published + 10):
        await asyncio.sleep(0)


async def test_events_are_numbered_from_one_and_reach_everyone_in_order(hub: Hub) -> None:
    lines = [client(hub) for _ in range(3)]
    for _, session in lines:
        hub.subscribe(session, TRAINING, 1, None)
    for number in range(5):
        tell(hub, TRAINING, number)
    await turn()
    for line, _ in lines:
        assert line.numbers == [1, 2, 3, 4, 5]
        assert [event["data"] for event in line.of("event")] == [0, 1, 2, 3, 4]


async def test_the_same_bytes_go_to_every_client(hub: Hub) -> None:
    (one, first), (two, second) = client(hub), client(hub)
    for session in (first, second):
        hub.subscribe(session, TRAINING, 1, None)
    tell(hub, TRAINING, 7)
    await turn()
    assert one.frames[-1] is two.frames[-1]


async def test_the_acknowledgement_comes_first_then_the_snapshot_then_what_is_new(
    hub: Hub,
) -> None:
    tell(hub, SYSTEM, 1)
    line, session = client(hub)
    hub.subscribe(session, SYSTEM, "a", None)
    tell(hub, SYSTEM, 2)
    await turn()
    kinds = [(message["type"], message.get("seq")) for message in line.messages]
    assert kinds == [("subscribed", 1), ("snapshot", 1), ("event", 2)]
    assert line.messages[0]["recovered"] is False


async def test_what_was_published_before_a_subscription_is_not_delivered_to_it(hub: Hub) -> None:
    early, session = client(hub)
    hub.subscribe(session, TRAINING, 1, None)
    tell(hub, TRAINING, 1)  # still on its way when the second client comes
    late, session = client(hub)
    hub.subscribe(session, TRAINING, 1, None)
    tell(hub, TRAINING, 2)
    await turn()
    assert (early.numbers, late.numbers) == ([1, 2], [2])


@pytest.mark.parametrize("seen", range(6))
async def test_a_client_that_comes_back_gets_what_it_missed_in_order_and_once(
    hub: Hub, seen: int
) -> None:
    for number in range(1, 6):
        tell(hub, TRAINING, number)
    line, session = client(hub)
    hub.subscribe(session, TRAINING, 1, Position("e1", seen))
    tell(hub, TRAINING, 6)
    await turn()
    assert line.numbers == list(range(seen + 1, 7))
    assert line.of("subscribed")[0]["recovered"] is True
    assert line.of("snapshot") == []


@pytest.mark.parametrize("since", [Position("e0", 3), Position("e1", 99), Position("e1", -1)])
async def test_what_cannot_be_proven_complete_is_not_called_recovered(
    hub: Hub, since: Position
) -> None:
    for number in range(5):
        tell(hub, TRAINING, number)
    line, session = client(hub)
    hub.subscribe(session, TRAINING, 1, since)
    await turn()
    assert line.of("subscribed")[0]["recovered"] is False
    assert [(m["seq"], m["data"]) for m in line.of("snapshot")] == [(5, {})]
    assert line.numbers == []


async def test_history_that_is_gone_is_not_called_recovered(hub: Hub) -> None:
    for number in range(limits.HISTORY + 10):
        tell(hub, TRAINING, number)
    line, session = client(hub)
    hub.subscribe(session, TRAINING, 1, Position("e1", 5))
    assert line.of("subscribed")[0]["recovered"] is False


async def test_a_client_that_missed_everything_that_is_kept_is_not_too_slow_for_it(
    hub: Hub,
) -> None:
    for number in range(limits.HISTORY):
        tell(hub, TRAINING, number)
    line, session = client(hub, room=3)
    hub.subscribe(session, TRAINING, 1, Position("e1", 0))
    assert line.closed_with is None
    line.drain()
    assert line.numbers == list(range(1, limits.HISTORY + 1))


async def test_a_state_channel_shows_its_snapshot_even_to_those_who_missed_nothing(
    hub: Hub,
) -> None:
    tell(hub, SYSTEM, 1)
    line, session = client(hub)
    hub.subscribe(session, SYSTEM, 1, Position("v1", 1))
    assert line.of("subscribed")[0]["recovered"] is True
    assert len(line.of("snapshot")) == 1


async def test_a_slow_client_gets_the_newest_state_and_word_of_what_was_left_out(
    hub: Hub,
) -> None:
    slow, session = client(hub, room=3)
    hub.subscribe(session, SYSTEM, 1, None)
    for number in range(1, 101):
        tell(hub, SYSTEM, number)
    await turn()
    await turn()
    await turn()
    assert slow.numbers == [1]
    slow.drain()
    assert [(m["seq"], m["data"], m.get("conflated")) for m in slow.of("event")] == [
        (1, 1, None),
        (100, 100, 98),
    ]
    tell(hub, SYSTEM, 101)
    await turn()
    assert slow.of("event")[-1].get("conflated") is None


async def test_a_slow_client_loses_no_event_and_one_that_never_reads_is_closed(hub: Hub) -> None:
    slow, session = client(hub, room=2)
    hub.subscribe(session, TRAINING, 1, None)
    for number in range(limits.HISTORY):
        tell(hub, TRAINING, number)
    await turn(limits.HISTORY)
    assert (hub.behind, hub.owed) == (1, limits.HISTORY)
    slow.drain(room=1)
    slow.drain()
    assert slow.numbers == list(range(1, limits.HISTORY + 1))
    session.paused()
    for number in range(limits.HISTORY + 1):
        tell(hub, TRAINING, number)
    await turn(limits.HISTORY)
    assert slow.closed_with is not None
    assert slow.closed_with[0] == Close.TOO_SLOW


async def test_a_slow_client_delays_nobody(hub: Hub) -> None:
    _, stuck = client(hub, room=1, capacity=2)
    hub.subscribe(stuck, TRAINING, 1, None)
    quick, session = client(hub)
    hub.subscribe(session, TRAINING, 1, None)
    for number in range(10):
        tell(hub, TRAINING, number)
    await turn()
    assert quick.numbers == list(range(1, 11))


async def test_who_leaves_hears_no_more(hub: Hub) -> None:
    line, session = client(hub)
    hub.subscribe(session, TRAINING, 1, None)
    tell(hub, TRAINING, 1)
    hub.unsubscribe(session, TRAINING, 2)
    await turn()
    assert [message["type"] for message in line.messages][-1] == "unsubscribed"
    hub.leave(session)
    hub.leave(session)
    assert (hub.sessions, hub.subscriptions) == (set(), 0)


async def test_what_somebody_listens_to_by_name_is_watched(hub: Hub) -> None:
    _, session = client(hub)
    for channel in (CANDLES, EVERY_PREDICTION, TRAINING):
        hub.subscribe(session, channel, 1, None)
    assert list(hub.watched) == ["BTC/USDT"]
    hub.leave(session)
    assert not hub.watched


async def test_subscribing_twice_is_one_subscription(hub: Hub) -> None:
    line, session = client(hub)
    hub.subscribe(session, TRAINING, 1, None)
    hub.subscribe(session, TRAINING, 2, None)
    tell(hub, TRAINING, 1)
    await turn()
    assert line.numbers == [1]
    assert hub.subscriptions == 1


async def test_a_snapshot_that_must_be_fetched_comes_later_and_holds_what_came_meanwhile(
    hub: Hub, shelf: Shelf
) -> None:
    line, session = client(hub)
    hub.subscribe(session, CANDLES, 1, None)
    tell(hub, CANDLES, 1)
    await turn()
    assert [message["type"] for message in line.messages] == ["subscribed"]
    shelf.data[CANDLES] = b"[1]"
    hub.supply(CANDLES)
    tell(hub, CANDLES, 2)
    await turn()
    assert [(m["type"], m["seq"]) for m in line.messages[1:]] == [("snapshot", 1), ("event", 2)]


async def test_who_left_while_its_snapshot_was_fetched_gets_none(hub: Hub, shelf: Shelf) -> None:
    line, session = client(hub)
    hub.subscribe(session, CANDLES, 1, None)
    hub.unsubscribe(session, CANDLES, 2)
    shelf.data[CANDLES] = b"[]"
    hub.supply(CANDLES)
    assert line.of("snapshot") == []


async def test_a_snapshot_is_made_once_for_everyone(hub: Hub, shelf: Shelf) -> None:
    for _ in range(5):
        hub.subscribe(client(hub)[1], SYSTEM, 1, None)
    assert shelf.asked == [SYSTEM]


async def test_a_large_fan_out_lets_others_have_their_turn(hub: Hub) -> None:
    for _ in range(1000):
        hub.subscribe(client(hub)[1], TRAINING, 1, None)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    tell(hub, TRAINING, 1)
    async with alongside(count(), name="count"):
        await turn()
    assert hub.tally.delivered == 1000
    assert turns >= 9


async def test_a_quiet_connection_gets_a_heartbeat_within_the_promised_time(hub: Hub) -> None:
    line, session = client(hub)
    async with alongside(hub.keep_alive(), name="keep alive"):
        for _ in range(4):
            session.heard = True
            await asyncio.sleep(limits.HEARTBEAT_S)
    assert len(line.of("heartbeat")) >= 4


async def test_a_busy_connection_gets_no_heartbeat(hub: Hub) -> None:
    line, session = client(hub)
    hub.subscribe(session, TRAINING, 1, None)
    async with alongside(hub.keep_alive(), name="keep alive"):
        for number in range(60):
            tell(hub, TRAINING, number)
            await asyncio.sleep(1)
    assert line.of("heartbeat") == []


async def test_a_client_that_answers_pings_lives_and_a_dead_one_is_ended(hub: Hub) -> None:
    alive, session = client(hub)
    dead, _ = client(hub)
    async with alongside(hub.keep_alive(), name="keep alive"):
        pings = 0
        for _ in range(120):
            await asyncio.sleep(1)
            if alive.pings > pings:
                pings, session.heard = alive.pings, True
    assert (alive.aborted, dead.aborted) == (False, True)
    assert dead.pings >= limits.SILENT_BEATS - 1


async def test_after_this_process_was_frozen_nobody_is_judged(hub: Hub) -> None:
    line, _ = client(hub)
    loop = asyncio.get_running_loop()
    async with alongside(hub.keep_alive(), name="keep alive"):
        for _ in range(30):
            await asyncio.sleep(limits.HEARTBEAT_S / 2 - 0.1)
            loop.jump(60)  # type: ignore[attr-defined]
    assert not line.aborted
