import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain import wire
from services.gateway.domain.outbox import Outbox, Publication

AT = datetime(2026, 11, 20, tzinfo=UTC)


def value(channel: str, seq: int, key: str = "") -> Publication:
    return Publication(channel, seq, wire.event(channel, seq, AT, b"1"), key)


def happening(channel: str, seq: int) -> Publication:
    return Publication(channel, seq, wire.event(channel, seq, AT, b"1"))


def drained(outbox: Outbox) -> list[dict[str, object]]:
    taken = []
    while (frame := outbox.take()) is not None:
        header = {126: 4, 127: 10}.get(frame[1], 2)
        taken.append(json.loads(frame[header:]))
    return taken


@given(st.lists(st.sampled_from("abcd")))
def test_a_gap_in_the_numbers_of_a_state_channel_is_exactly_what_it_says_was_left_out(
    keys: list[str],
) -> None:
    outbox = Outbox(capacity=0)
    for seq, key in enumerate(keys, 1):
        assert outbox.put(value("predictions:*", seq, key))
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
def test_events_are_kept_all_and_in_order(channels: list[str]) -> None:
    outbox = Outbox(capacity=20)
    for seq, channel in enumerate(channels, 1):
        assert outbox.put(happening(channel, seq))
    assert [message["channel"] for message in drained(outbox)] == channels


def test_an_outbox_that_is_full_of_events_takes_no_more_but_still_takes_values() -> None:
    outbox = Outbox(capacity=2)
    assert [outbox.put(happening("training", seq)) for seq in (1, 2, 3)] == [True, True, False]
    assert not outbox.put_reply(b"reply")
    assert outbox.put(value("system", 1))
    assert len(outbox) == 3


def test_room_comes_back_as_frames_are_taken() -> None:
    outbox = Outbox(capacity=1)
    assert outbox.put_reply(b"reply")
    assert outbox.take() == b"reply"
    assert outbox.put(happening("training", 1))


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
