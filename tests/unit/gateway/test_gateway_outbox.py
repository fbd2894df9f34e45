import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain import wire
from services.gateway.domain.history import History, Publication
from services.gateway.domain.outbox import FellBehind, Outbox

AT = datetime(2026, 11, 20, tzinfo=UTC)


def value(channel: str, seq: int, key: str = "") -> Publication:
    return Publication(channel, seq, wire.event(channel, seq, AT, b"1"), key)


def happening(history: History, channel: str, seq: int) -> Publication:
    event = Publication(channel, seq, wire.event(channel, seq, AT, b"1"), kept=history)
    history.add(event)
    return event


def drained(outbox: Outbox) -> list[dict[str, object]]:
    taken = []
    while (frame := outbox.take()) is not None:
        taken.append(message_in(frame))
    return taken


def message_in(frame: bytes) -> dict[str, object]:
    message: dict[str, object] = json.loads(frame[{126: 4, 127: 10}.get(frame[1], 2) :])
    return message


def name_of(message: dict[str, object]) -> object:
    """The number of an event, the id of an answer."""
    return message.get("seq", message.get("id"))


@given(st.lists(st.sampled_from("abcd")))
def test_a_gap_in_the_numbers_of_a_state_channel_is_exactly_what_it_says_was_left_out(
    keys: list[str],
) -> None:
    outbox = Outbox(capacity=0)
    for seq, key in enumerate(keys, 1):
        outbox.put(value("predictions:*", seq, key))
    last = 0
    for message in drained(outbox):
        seq = int(str(message["seq"]))
        assert seq - last - 1 == message.get("conflated", 0)
        last = seq
    assert last == len(keys)


@given(st.lists(st.sampled_from("abcd"), min_size=1))
def test_the_newest_value_of_every_key_arrives_and_no_older_one(keys: list[str]) -> None:
    outbox = Outbox(capacity=0)
    for seq, key in enumerate(keys, 1):
        outbox.put(value("predictions:*", seq, key))
    newest = sorted({key: seq for seq, key in enumerate(keys, 1)}.values())
    assert [message["seq"] for message in drained(outbox)] == newest
    assert outbox.conflated == len(keys) - len(newest)


@given(st.lists(st.sampled_from(["training", "models"]), max_size=20))
def test_events_are_owed_all_and_in_the_order_of_their_channel(channels: list[str]) -> None:
    outbox, history = Outbox(capacity=2), History(20)
    reached = Counter[str]()
    for channel in channels:
        reached[channel] += 1
        outbox.put(happening(history, channel, reached[channel]))
    assert len(outbox) == len(channels)
    taken = drained(outbox)
    for channel in ("training", "models"):
        numbers = [message["seq"] for message in taken if message["channel"] == channel]
        assert numbers == list(range(1, reached[channel] + 1))


def test_events_that_are_owed_are_held_by_their_history_alone() -> None:
    outbox, history = Outbox(capacity=1), History(1000)
    outbox.put(happening(history, "training", 1))
    for seq in range(2, 1000):
        outbox.put(happening(history, "training", seq))
    assert (len(outbox._owed), len(outbox)) == (1, 999)


@given(st.lists(st.sampled_from(["event", "reply", "take"]), max_size=60))
def test_what_is_published_after_an_answer_comes_after_it(steps: list[str]) -> None:
    outbox, history = Outbox(capacity=100), History(100)
    due: list[object] = []
    taken: list[object] = []
    for number, step in enumerate(steps, 1):
        if step == "event":
            seq = sum(isinstance(sent, int) for sent in due) + 1
            outbox.put(happening(history, "training", seq))
            due.append(seq)
        elif step == "reply":
            outbox.put_reply(wire.pong(str(number), AT))
            due.append(str(number))
        elif (frame := outbox.take()) is not None:
            taken.append(name_of(message_in(frame)))
    taken += map(name_of, drained(outbox))
    assert taken == due


def test_a_client_whose_next_event_is_gone_has_fallen_behind() -> None:
    history = History(3)
    silent, reading = Outbox(capacity=10), Outbox(capacity=10)
    for seq in (1, 2, 3):
        event = happening(history, "training", seq)
        silent.put(event)
        reading.put(event)
    reading.take()
    fourth = happening(history, "training", 4)
    reading.put(fourth)
    assert [message["seq"] for message in drained(reading)] == [2, 3, 4]
    with pytest.raises(FellBehind):
        silent.put(fourth)
    with pytest.raises(FellBehind):
        silent.take()


def test_an_outbox_that_is_full_of_answers_takes_no_more_but_still_takes_values() -> None:
    outbox = Outbox(capacity=2)
    outbox.put_reply(b"one")
    outbox.put(happening(History(9), "training", 1))
    with pytest.raises(FellBehind):
        outbox.put_reply(b"two")
    outbox.put(value("system", 1))
    assert len(outbox) == 3


def test_room_comes_back_as_frames_are_taken() -> None:
    outbox = Outbox(capacity=1)
    outbox.put_reply(b"reply")
    assert outbox.take() == b"reply"
    outbox.put(happening(History(9), "training", 1))
    outbox.take()
    outbox.put_reply(b"another")


def test_a_snapshot_says_nothing_of_what_came_before_it() -> None:
    outbox = Outbox(capacity=0)
    outbox.put(value("predictions:*", 3, "A"))
    snapshot = wire.snapshot("predictions:*", 7, b"{}")
    outbox.put(Publication("predictions:*", 7, snapshot, "snapshot", is_snapshot=True))
    outbox.put(value("predictions:*", 9, "B"))
    assert [(m["seq"], m.get("conflated")) for m in drained(outbox)] == [
        (3, None),
        (7, None),
        (9, 1),
    ]


def test_after_everything_was_sent_the_next_value_is_not_said_to_be_conflated() -> None:
    outbox = Outbox(capacity=0)
    outbox.put(value("system", 1))
    drained(outbox)
    outbox.put(value("system", 50))
    assert "conflated" not in drained(outbox)[0]
